"""One mistake, one message: what follows from a value that could not be read."""

from collections.abc import Iterable
from typing import Any

from understack_nautobot_settings.certificates import codes as certificates_codes
from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.environment import codes as environment_codes
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.reader import Variable
from understack_nautobot_settings.fragments import codes as fragments_codes
from understack_nautobot_settings.problems import Problem

# Said by Nautobot's own reading of a value, in better words than by ours.
_NAUTOBOT_STOPS = {codes.SERVICE_LINK.id, codes.NAUTOBOT_VALUE_INVALID.id}
_UNREADABLE = {
    code.id
    for code in (
        environment_codes.VALUE_INVALID,
        environment_codes.VALUE_QUOTED,
        environment_codes.VALUE_NOT_UTF8,
        environment_codes.DB_HOST_INVALID,
        environment_codes.REDIS_HOST_INVALID,
        environment_codes.PATH_IS_PEM,
        environment_codes.PATH_IS_TOKEN,
        environment_codes.SECRET_FILE_UNREADABLE,
        fragments_codes.DB_LIBPQ_VARIABLE,
        fragments_codes.SITE_NAME_INVALID,
    )
}
# The variable says something, and not what somebody wanted.
_DOUBTFUL = {
    fragments_codes.PLUGIN_NAME_INVALID.id,
    fragments_codes.DB_SSLNEGOTIATION_MODE.id,
    fragments_codes.DB_SYSTEM_TRUST.id,
}
_HOSTS = (
    variables.DB_HOST,
    variables.REDIS_HOST,
    variables.REDIS_SCHEME,
    variables.CACHES_BACKEND,
    variables.CELERY_BROKER_URL,
)
_GATEWAY = (variables.DB_SSLNEGOTIATION, variables.CONNECTION_PROFILE, variables.ROLE)
# What a problem was judged by, beside the variable that it is about.
_JUDGED_BY: dict[str, tuple[Variable[Any], ...]] = {
    fragments_codes.DB_ENGINE_NOT_POSTGRESQL.id: (variables.DB_ENGINE,),
    certificates_codes.CERTIFICATE_NAME_MISMATCH.id: (
        variables.DB_USER,
        variables.DB_IDENTITY_MAP,
    ),
    codes.DB_PATH_UNUSED.id: (variables.DB_SSLMODE, variables.DB_SSLNEGOTIATION),
    codes.DB_SSLMODE_UNSET.id: (*_HOSTS, variables.DB_SSLNEGOTIATION),
    codes.DB_VERIFY_CA.id: (variables.DB_SSLROOTCERT,),
    codes.GATEWAY_ADDRESS.id: _GATEWAY,
    codes.GATEWAY_NEGOTIATION.id: _GATEWAY,
    codes.GATEWAY_SNI_OFF.id: _GATEWAY,
    codes.GATEWAY_TRAILING_DOT.id: _GATEWAY,
    codes.METRICS_OPEN.id: (variables.HARDENING, variables.METRICS_ENABLED),
    fragments_codes.PLUGIN_CONFIG_UNUSED.id: (variables.EXTRA_PLUGINS,),
    fragments_codes.PLUGIN_SKIPPED.id: (variables.EXTRA_PLUGINS_STRICT,),
    codes.SITE_HOST_MISSING.id: _HOSTS,
    codes.SITE_QUEUE_MISSING.id: (variables.PARTITION, variables.SITE),
    codes.VARIABLE_UNUSED.id: tuple(switch for _, switch, _ in variables.DEPENDENT),
}


def without_consequences(problems: Iterable[Problem]) -> list[Problem]:
    """Return each problem once, without those that follow from another one.

    Where the value of a variable could not be read nothing else is told of it, and
    nothing of what was judged by the default that stands in.
    """
    unique = list(dict.fromkeys(problems))
    stopped = {one.variable for one in unique if one.code in _NAUTOBOT_STOPS}
    unreadable = stopped | {one.variable for one in unique if one.code in _UNREADABLE}
    # Of a list with one wrong name the other names are read.
    doubtful = unreadable | {one.variable for one in unique if one.code in _DOUBTFUL}
    told = {(one.code, one.variable) for one in unique}

    def follows(problem: Problem) -> bool:
        if problem.code in _NAUTOBOT_STOPS:
            return False
        if problem.code in _UNREADABLE:
            return problem.variable in stopped
        causes = {
            codes.DB_SSLMODE_UNSET.id: (codes.TLS_NOT_IN_FORCE.id, "DATABASES.default"),
            codes.LIBPQ_VARIABLE.id: (codes.GATEWAY_SNI_OFF.id, problem.variable),
        }
        if causes.get(problem.code) in told:
            return True
        judged_by = _JUDGED_BY.get(problem.code, ())
        return problem.variable in unreadable or any(
            name in doubtful for variable in judged_by for name in variable.names
        )

    return [problem for problem in unique if not follows(problem)]
