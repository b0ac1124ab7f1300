"""The Django app."""

from __future__ import annotations

from django.apps import AppConfig


class UnderstackConfig(AppConfig):
    """Plugs into the registries of Django, Nautobot and Celery."""

    name = "understack_nautobot_settings.django_app"
    label = "understack_nautobot_settings"
    verbose_name = "UnderStack settings"

    def ready(self) -> None:
        """Register checks, health check and metrics."""
        from django.core.checks import Tags
        from django.core.checks import register
        from health_check.plugins import plugin_dir
        from nautobot.core.celery import app as celery_app
        from nautobot.extras.plugins import register_metrics

        from understack_nautobot_settings.django_app.checks import check_environment
        from understack_nautobot_settings.django_app.health import CertificateBackend
        from understack_nautobot_settings.django_app.metrics import families
        from understack_nautobot_settings.django_app.metrics import import_cache_backend
        from understack_nautobot_settings.django_app.stuck_jobs import check_stuck_jobs
        from understack_nautobot_settings.django_app.stuck_jobs import (
            stuck_job_families,
        )
        from understack_nautobot_settings.django_app.worker import CertificateMetrics

        register(check_environment)
        register(check_stuck_jobs, Tags.database)
        plugin_dir.register(CertificateBackend)
        register_metrics([families, stuck_job_families])
        import_cache_backend()
        celery_app.steps["consumer"].add(CertificateMetrics)
