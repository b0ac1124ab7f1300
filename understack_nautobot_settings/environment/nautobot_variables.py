"""The variables that Nautobot itself reads, versions 2.4 to 3.2.

`check` runs without Nautobot, and still has to know two things: which names are
no misspellings, and which values Nautobot stops at while it reads its own
settings, before this library has run. What this library reads as well is declared
in `understack_nautobot_settings.environment.variables` and marked there.
"""

import json
from collections.abc import Callable
from datetime import date
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import truth


class Reading(NamedTuple):
    """How ``nautobot.core.settings`` turns the text of a variable into a value.

    Attributes:
        noun: What the text has to be.
        remedy: What to write instead.
        parse: The conversion; raises where Nautobot does: ``ValueError``, or
            ``RecursionError`` for JSON.
        names: The variables read so.
    """

    noun: str
    remedy: str
    parse: Callable[[str], Any]
    names: frozenset[str]


def _names(text: str) -> frozenset[str]:
    return frozenset(f"NAUTOBOT_{name}" for name in text.split())


def _numbers(text: str) -> list[int]:
    return [int(number) for number in text.split(",")]


EMPTY_IS_UNSET = _names("""
    ALLOW_REQUEST_PROFILING CELERY_WORKER_PROMETHEUS_PORTS CHANGELOG_RETENTION
    DEVICE_NAME_AS_NATURAL_KEY JOB_CREATE_FILE_MAX_SIZE LOCATION_LIST_DEFAULT_MAX_DEPTH
    LOCATION_NAME_AS_NATURAL_KEY MAX_PAGE_SIZE NTC_SUPPORT_CONTRACT_EXPIRATION_DATE
    PAGINATE_COUNT PER_PAGE_DEFAULTS PREFER_IPV4 PREFIX_LIST_DEFAULT_CONTAINER_ONLY
    PREFIX_LIST_DEFAULT_MAX_DEPTH RACK_ELEVATION_DEFAULT_UNIT_HEIGHT
    RACK_ELEVATION_DEFAULT_UNIT_WIDTH RACK_ELEVATION_UNIT_TWO_DIGIT_FORMAT
    RELEASE_CHECK_TIMEOUT
""")
"""Variables converted below that Nautobot takes for unset when empty."""

READINGS = (
    Reading(
        "a whole number",
        "Use digits",
        int,
        _names("""
            CACHES_TIMEOUT CELERY_TASK_SOFT_TIME_LIMIT CELERY_TASK_TIME_LIMIT
            CELERY_WORKER_PREFETCH_MULTIPLIER CHANGELOG_RETENTION
            CONTENT_TYPE_CACHE_TIMEOUT DB_TIMEOUT EMAIL_PORT EMAIL_TIMEOUT
            JOB_CREATE_FILE_MAX_SIZE LOCATION_LIST_DEFAULT_MAX_DEPTH MAX_PAGE_SIZE
            METRICS_EXPERIMENTAL_CACHING_DURATION NAPALM_TIMEOUT PAGINATE_COUNT
            PREFIX_LIST_DEFAULT_MAX_DEPTH RACK_ELEVATION_DEFAULT_UNIT_HEIGHT
            RACK_ELEVATION_DEFAULT_UNIT_WIDTH REDIS_LOCK_TIMEOUT
            RELEASE_CHECK_TIMEOUT SESSION_COOKIE_AGE
        """)
        | {variables.REDIS_PORT.name},
    ),
    Reading(
        "a boolean",
        "Use true or false",
        truth,
        _names("""
            ALLOW_REQUEST_PROFILING CELERY_WORKER_REDIRECT_STDOUTS
            CONFIG_CONTEXT_DYNAMIC_GROUPS_ENABLED
            CORS_ALLOW_ALL_ORIGINS DEVICE_NAME_AS_NATURAL_KEY EMAIL_USE_SSL
            EMAIL_USE_TLS INSTALLATION_METRICS_ENABLED KUBERNETES_VERIFY_SSL_INTERNAL
            LOCATION_NAME_AS_NATURAL_KEY LOG_DEPRECATION_WARNINGS MAINTENANCE_MODE
            METRICS_AUTHENTICATED METRICS_ENABLED PREFER_IPV4
            PREFIX_LIST_DEFAULT_CONTAINER_ONLY PUBLISH_ROBOTS_TXT
            RACK_ELEVATION_UNIT_TWO_DIGIT_FORMAT SESSION_EXPIRE_AT_BROWSER_CLOSE
            SSO_ENABLE_GROUP_SYNC STRICT_FILTERING STRICT_SENSITIVE_FIELDS
            TEST_USE_FACTORIES
        """)
        | {
            variables.CELERY_HEALTH_PROBES_AS_FILES.name,
            variables.DEBUG.name,
            variables.REDIS_SSL.name,
        },
    ),
    Reading("a number", "Use digits", float, _names("REGEX_TIMEOUT")),
    Reading(
        "whole numbers separated by commas",
        "Use digits and commas",
        _numbers,
        _names("CELERY_WORKER_PROMETHEUS_PORTS PER_PAGE_DEFAULTS"),
    ),
    Reading(
        "a date",
        "Use the form 2026-11-22",
        date.fromisoformat,
        _names("NTC_SUPPORT_CONTRACT_EXPIRATION_DATE"),
    ),
    Reading("JSON", "Use JSON", json.loads, _names("KUBERNETES_JOB_MANIFEST")),
)
"""Variables whose text Nautobot converts, and raises at what it cannot."""

_TEXTS = _names("""
    BANNER_BOTTOM BANNER_LOGIN BANNER_TOP BRANDING_FILEPATHS_CSS
    BRANDING_FILEPATHS_FAVICON BRANDING_FILEPATHS_HEADER_BULLET
    BRANDING_FILEPATHS_ICON_16 BRANDING_FILEPATHS_ICON_180 BRANDING_FILEPATHS_ICON_192
    BRANDING_FILEPATHS_ICON_32 BRANDING_FILEPATHS_ICON_MASK
    BRANDING_FILEPATHS_JAVASCRIPT BRANDING_FILEPATHS_LOGO
    BRANDING_FILEPATHS_NAVBAR_ICON BRANDING_FILEPATHS_NAV_BULLET
    BRANDING_PREPENDED_FILENAME BRANDING_TITLE BRANDING_URLS_CODE BRANDING_URLS_DOCS
    BRANDING_URLS_HELP CELERY_BEAT_HEARTBEAT_FILE CELERY_TASK_DEFAULT_QUEUE
    CELERY_WORKER_READINESS_FILE
    CELERY_WORKER_REDIRECT_STDOUTS_LEVEL CSRF_TRUSTED_ORIGINS DATETIME_FORMAT
    DATE_FORMAT DEFAULT_FROM_EMAIL DEPLOYMENT_ID DEVICE_UNIQUENESS EMAIL_HOST
    EMAIL_HOST_PASSWORD EMAIL_HOST_USER EMAIL_SSL_CERTFILE EMAIL_SSL_KEYFILE
    EXTERNAL_AUTH_DEFAULT_GROUPS GIT_ROOT JOBS_ROOT JOB_FILE_IO_STORAGE JOB_QUEUE_PATH
    KUBERNETES_DEFAULT_SERVICE_ADDRESS KUBERNETES_JOB_POD_NAME
    KUBERNETES_JOB_POD_NAMESPACE KUBERNETES_SSL_CA_CERT_PATH KUBERNETES_TOKEN_PATH
    METRICS_DISABLED_APPS NAPALM_PASSWORD NAPALM_USERNAME OTEL_EXTRA_INSTRUMENTORS
    RELEASE_CHECK_URL ROOT SESSION_FILE_PATH SHORT_DATETIME_FORMAT SHORT_DATE_FORMAT
    SSO_CLAIMS_GROUP SSO_STAFF_GROUPS SSO_SUPERUSER_GROUPS SSO_SYNC_GROUPS
    SUPPORT_MESSAGE TEST_FACTORY_SEED TIME_FORMAT TIME_ZONE
    WEBHOOK_ADDITIONAL_BLOCKED_NETWORKS WEBHOOK_ALLOWED_HOSTS WEBHOOK_ALLOWED_SCHEMES
""")

# Read by the container image, the Helm chart, Nautobot's tests, or its API clients.
_SURROUNDINGS = _names("""
    CONFIG CREATE_SUPERUSER DOCKER_SKIP_INIT LOCATION SELENIUM_HOST
    SELENIUM_URL SUPERUSER_API_TOKEN SUPERUSER_EMAIL SUPERUSER_NAME SUPERUSER_PASSWORD
    TOKEN URL UWSGI_BUFFER_SIZE UWSGI_LISTEN UWSGI_PROCESSES VERSION
""")

NAUTOBOT_NAMES = (
    _TEXTS
    | _SURROUNDINGS
    | frozenset[str]().union(*(reading.names for reading in READINGS))
)
"""Every name that is Nautobot's own, those included that this library also reads."""
