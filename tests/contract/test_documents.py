"""Every environment that the operator guides call valid, and what it sets."""

import itertools
import sys

import pytest

from lab.certificates import Authority
from lab.certificates import write_mount
from understack_nautobot_settings import configure
from understack_nautobot_settings.checks.nautobot_base import base_settings

SSLMODES = ("", "require", "verify-ca", "verify-full")
DEFAULT_PLUGINS = ["nautobot_plugin_nornir", "nautobot_golden_config"]
DEFAULT_CONFIG = {
    "nautobot_plugin_nornir": {
        "nornir_settings": {
            "credentials": (
                "nautobot_plugin_nornir.plugins.credentials.nautobot_secrets."
                "CredentialsNautobotSecrets"
            ),
            "runner": {"plugin": "threaded", "options": {"num_workers": 20}},
        },
        "use_config_context": {"connection_options": True},
    },
    "nautobot_golden_config": {
        "per_feature_bar_width": 0.15,
        "per_feature_width": 13,
        "per_feature_height": 4,
        "enable_backup": True,
        "enable_compliance": True,
        "enable_intended": True,
        "enable_sotagg": True,
        "enable_postprocessing": True,
        "sot_agg_transposer": None,
        "platform_slug_map": None,
        "postprocessing_callables": [],
        "postprocessing_subscribed": [],
    },
}
EXTRA_CONFIG = '{"nautobot_golden_config": {"enable_backup": false, "t": "${TOKEN}"}}'


@pytest.fixture(scope="module")
def mounted(tmp_path_factory):
    directory = tmp_path_factory.mktemp("mtls")
    authority = Authority()
    write_mount(directory, authority.client("app"), authority.ca_pem)
    return directory


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Empty packages in place of the open-source plugins."""

    def install():
        for name in DEFAULT_PLUGINS:
            (tmp_path / name).mkdir()
            (tmp_path / name / "__init__.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)

    yield install
    for name in DEFAULT_PLUGINS:
        assert name not in sys.modules


ROWS = list(itertools.product(SSLMODES, *[(False, True)] * 3))


@pytest.mark.parametrize(
    ("sslmode", "redis_mounted", "plugins", "extra_config"),
    ROWS,
    ids=[
        f"{sslmode or 'unset'}"
        f"-redis{'+' if redis else '-'}plugins{'+' if plugins else '-'}"
        f"extra{'+' if extra else '-'}"
        for sslmode, redis, plugins, extra in ROWS
    ],
)
def test_documented_environment_gives_the_documented_settings(
    mounted, installed, tmp_path, sslmode, redis_mounted, plugins, extra_config
):
    paths = {
        "sslcert": f"{mounted}/tls.crt",
        "sslkey": f"{mounted}/tls.key",
        "sslrootcert": f"{mounted}/ca.crt",
    }
    env = {
        "NAUTOBOT_SECRET_KEY": "key-0123456789" * 4,
        "NAUTOBOT_DB_HOST": "nautobot-cluster-rw",
        "NAUTOBOT_DB_USER": "app",
        "NAUTOBOT_DB_SSLMODE": sslmode,
        "NAUTOBOT_DB_SSLCERT": paths["sslcert"],
        "NAUTOBOT_DB_SSLKEY": paths["sslkey"],
        "NAUTOBOT_DB_SSLROOTCERT": paths["sslrootcert"],
        "NAUTOBOT_REDIS_HOST": "nautobot-redis-master",
        "NAUTOBOT_REDIS_PASSWORD": "p/w",
        "NAUTOBOT_REDIS_SSL": "false",
        "UNDERSTACK_PARTITION": "dfw3-prod",
        "TOKEN": "t0ken",
    }
    if redis_mounted:
        env |= {
            "NAUTOBOT_REDIS_SSL_CERT_REQS": "required",
            "NAUTOBOT_REDIS_SSL_CA_CERTS": paths["sslrootcert"],
            "NAUTOBOT_REDIS_SSL_CERTFILE": paths["sslcert"],
            "NAUTOBOT_REDIS_SSL_KEYFILE": paths["sslkey"],
        }
    if plugins:
        installed()
    if extra_config:
        env["NAUTOBOT_EXTRA_PLUGINS_CONFIG"] = EXTRA_CONFIG
    namespace = base_settings(env)

    configure(namespace, env)

    tls_options = {
        "": {},
        "require": {"sslmode": "require"},
        "verify-ca": {"sslmode": "verify-ca", **paths},
        "verify-full": {"sslmode": "verify-full", **paths},
    }[sslmode]
    options = dict(namespace["DATABASES"]["default"]["OPTIONS"])
    # Only where the driver at hand has a libpq that knows it.
    assert options.pop("sslcertmode", "disable") == "disable"
    assert options == {**tls_options, "connect_timeout": 10}

    redis_tls = {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": paths["sslrootcert"],
        "ssl_certfile": paths["sslcert"],
        "ssl_keyfile": paths["sslkey"],
    }
    scheme = "rediss" if redis_mounted else "redis"
    pool = namespace["CACHES"]["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]
    assert {name: pool.get(name) for name in redis_tls} == (
        redis_tls if redis_mounted else dict.fromkeys(redis_tls)
    )
    assert pool["password"] == "p/w"
    assert namespace["CACHES"]["default"]["LOCATION"] == (
        f"{scheme}://nautobot-redis-master:6379/1"
    )
    assert namespace["CELERY_BROKER_URL"] == (
        f"{scheme}://:p%2Fw@nautobot-redis-master:6379/0"
    )
    for name in ("CELERY_BROKER_USE_SSL", "CELERY_REDIS_BACKEND_USE_SSL"):
        if redis_mounted:
            assert redis_tls.items() <= namespace[name].items()
        else:
            assert name not in namespace

    config = DEFAULT_CONFIG if plugins else {}
    if extra_config:
        extra = {"enable_backup": False, "t": "t0ken"}
        golden = {**config.get("nautobot_golden_config", {}), **extra}
        config = {**config, "nautobot_golden_config": golden}
    assert namespace["PLUGINS"] == (DEFAULT_PLUGINS if plugins else [])
    assert namespace["PLUGINS_CONFIG"] == config
    assert namespace["UNDERSTACK_PARTITION"] == "dfw3-prod"
    assert namespace["UNDERSTACK_SITE"] == ""
