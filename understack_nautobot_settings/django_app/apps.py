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

        from understack_nautobot_settings.django_app import checks
        from understack_nautobot_settings.django_app import health
        from understack_nautobot_settings.django_app import metrics
        from understack_nautobot_settings.django_app import stuck_jobs
        from understack_nautobot_settings.django_app import worker

        register(checks.check_environment)
        register(stuck_jobs.check_stuck_jobs, Tags.database)
        plugin_dir.register(health.CertificateBackend)
        register_metrics([metrics.families, stuck_jobs.stuck_job_families])
        metrics.import_cache_backend()
        celery_app.steps["consumer"].add(worker.CertificateMetrics)
