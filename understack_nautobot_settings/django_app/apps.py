"""The Django app."""

from django.apps import AppConfig


class UnderstackConfig(AppConfig):
    """Plugs into the registries of Django, Nautobot and Celery."""

    name = "understack_nautobot_settings.django_app"
    label = "understack_nautobot_settings"
    verbose_name = "UnderStack settings"

    def ready(self) -> None:
        """Register checks, health check and metrics."""
        from django.conf import settings
        from django.core.checks import Tags
        from django.core.checks import register
        from django.utils.module_loading import import_string
        from health_check.plugins import plugin_dir
        from nautobot.core.celery import app as celery_app
        from nautobot.extras.plugins import register_metrics

        from understack_nautobot_settings.django_app import checks
        from understack_nautobot_settings.django_app import health
        from understack_nautobot_settings.django_app import metrics
        from understack_nautobot_settings.django_app import stuck_jobs

        register(checks.check_environment)
        register(stuck_jobs.check_stuck_jobs, Tags.database)
        plugin_dir.register(health.CertificateBackend)
        register_metrics([metrics.families, stuck_jobs.stuck_job_families])
        celery_app.steps["consumer"].add(metrics.CertificateMetrics)
        # With metrics on, django-prometheus has the cache back end, which registers
        # gauges of its own when it is imported. Where processes share no directory for
        # metrics, Nautobot's /metrics asks the cache while it holds the lock of that
        # registry: as the first request of a process it would wait for itself for ever.
        import_string(settings.CACHES["default"]["BACKEND"])
