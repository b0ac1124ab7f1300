"""What Nautobot's Helm chart makes of the example values, alone and in UnderStack.

The facts are those of tests/rendered.json, or of the chart that ``tox run -e chart --
--chart PATH`` names.
"""

import json
import os
from pathlib import Path

import pytest

from lab.certificates import Authority
from lab.certificates import write_mount
from tests.chart import STORED
from tests.chart import digest
from understack_nautobot_settings import configure
from understack_nautobot_settings.checks.inspection import inspect_environment
from understack_nautobot_settings.checks.nautobot_base import base_settings
from understack_nautobot_settings.environment import variables

FACTS = json.loads(Path(os.environ.get("RENDERED_FACTS", STORED)).read_text())
SCENARIOS = FACTS["scenarios"]
EXAMPLES = [name for name in SCENARIOS if not name.endswith("base") or "over" in name]
MOUNT = "/etc/nautobot/mtls"
CONTAINERS = {
    f"{scenario}: {pod}: {name}": (
        scenario,
        SCENARIOS[scenario]["pods"][pod],
        container,
    )
    for scenario in EXAMPLES
    for pod in SCENARIOS[scenario]["pods"]
    for name, container in SCENARIOS[scenario]["pods"][pod]["containers"].items()
}
EACH_CONTAINER = pytest.mark.parametrize("name", CONTAINERS)
EACH_SCENARIO = pytest.mark.parametrize("scenario", EXAMPLES)


def containers(scenario, *, init=False):
    """Yield the component and each container that runs Nautobot in a scenario."""
    for pod in SCENARIOS[scenario]["pods"].values():
        for container in pod["containers"].values():
            if container["init"] == init:
                yield pod["labels"]["app.kubernetes.io/component"], container


def test_stored_chart_facts_match_the_values():
    """After a change of values: tox run -e chart -- --chart PATH --write."""
    assert FACTS["digest"] == digest()


def test_stored_chart_facts_match_the_chart():
    assert json.loads(STORED.read_text()) == FACTS


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_manifests_hold_no_key_twice(scenario):
    assert SCENARIOS[scenario]["repeated"] == []


def test_layers_of_values_give_the_expected_deployments():
    assert {name: sorted(SCENARIOS[name]["pods"]) for name in EXAMPLES} == {
        "site alone": ["nautobot-worker-celery-default"],
        "site over base": ["nautobot-worker-celery-default"],
        "site under Argo CD": ["nautobot-worker-celery-example-site"],
        **{
            f"global {layers}": [
                "nautobot-celery-beat",
                "nautobot-celery-default",
                "nautobot-default",
            ]
            for layers in ("alone", "over base", "under Argo CD")
        },
    }


# --- environments --------------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """The mounts of a pod, and the variables that name them."""
    authority = Authority("understack-mtls-ca")
    write_mount(tmp_path / "mtls", authority.client(), authority.ca_pem)
    sso = tmp_path / "sso"
    sso.mkdir()
    (sso / "issuer").write_text("https://sso.example.com\n")
    (sso / "client-id").write_text("nautobot\n")
    (sso / "client-secret").write_text("dummy-of-the-client-secret\n")
    paths = {
        variable.name: str(tmp_path / "mtls" / Path(str(variable.default)).name)
        for variable in variables.VARIABLES
        if str(variable.default).startswith(MOUNT)
    }
    return {"UNDERSTACK_SSO_DIR": str(sso), **paths}


@EACH_CONTAINER
def test_check_of_chart_environment_finds_no_problem(name, files):
    _, _, container = CONTAINERS[name]
    problems = inspect_environment({**container["env"], **files}).problems
    # Where these tests run there may be no driver to ask.
    assert [one for one in problems if one.code != "db-libpq-unknown"] == []


@EACH_CONTAINER
def test_site_worker_needs_a_queue_and_its_init_container_does_not(name, files):
    """The base values of some sites give the role to every container of the pod."""
    _, _, container = CONTAINERS[name]
    env = {**container["env"], **files, "UNDERSTACK_PARTITION": "dfw3"}
    without_queues = {n: text for n, text in env.items() if n != "CELERY_TASK_QUEUES"}

    problems = inspect_environment(without_queues, role="site-worker").problems

    codes = [one.code for one in problems]
    assert ("site-queue-missing" in codes) is not container["init"]


@EACH_CONTAINER
def test_configure_accepts_the_chart_environment(name, files):
    _, _, container = CONTAINERS[name]
    env = {**container["env"], **files}
    namespace = base_settings(env)
    configure(namespace, env)
    options = namespace["DATABASES"]["default"]["OPTIONS"]
    assert options["sslmode"] == "verify-full"
    assert namespace["CELERY_BROKER_URL"].startswith("rediss://")


@pytest.mark.parametrize("place", ["site", "global"])
@pytest.mark.parametrize("layers", ["over base", "under Argo CD"])
def test_example_values_keep_everything_of_the_base_values(place, layers):
    """Helm replaces lists: what the base lists bring must still be there."""
    base = SCENARIOS[f"{place} base"]
    ours = SCENARIOS[f"{place} {layers}"]
    assert {*base["variables"]} <= {*ours["variables"]}
    kept = dict(containers(f"{place} {layers}"))
    renamed = {}
    if (place, layers) == ("site", "under Argo CD"):
        renamed = {"nautobot-celery-default": "nautobot-celery-example-site"}
    for component, container in containers(f"{place} base"):
        same = kept[renamed.get(component, component)]
        # Links of Services depend on which Services there are.
        names = {
            name
            for name, value in container["env"].items()
            if not ("_SERVICE_" in name or "_PORT_" in name or value[:6] == "tcp://")
        }
        assert names <= {*same["env"]}
        assert {path for path, _ in container["mounts"]} <= {
            path for path, _ in same["mounts"]
        }


@EACH_SCENARIO
def test_plugin_credentials_reach_every_pod(scenario):
    assert all("EXAMPLE_TOKEN" in one["env"] for _, one in containers(scenario))


@EACH_SCENARIO
def test_pods_all_have_the_same_partition(scenario):
    assert {
        one["env"].get("UNDERSTACK_PARTITION") for _, one in containers(scenario)
    } == {"example-partition"}


@EACH_SCENARIO
def test_config_map_names_the_database_user(scenario):
    assert SCENARIOS[scenario]["variables"]["NAUTOBOT_DB_USER"] == "app"


def test_bootstrap_account_is_created_on_global_cluster_only():
    made = {
        name: SCENARIOS[name]["variables"]["NAUTOBOT_CREATE_SUPERUSER"]
        for name in EXAMPLES
    }
    assert made == {
        name: "true" if name.startswith("global") else "false" for name in EXAMPLES
    }


def test_site_queue_is_its_partition_or_site():
    queues = {
        name: [one["env"]["CELERY_TASK_QUEUES"] for _, one in containers(name)]
        for name in EXAMPLES
        if name.startswith("site")
    }
    assert queues == {
        "site alone": ["example-partition"],
        "site over base": ["example-partition"],
        "site under Argo CD": ["example-site"],
    }


@EACH_CONTAINER
def test_pods_accept_no_other_host_name(name):
    _, _, container = CONTAINERS[name]
    assert container["env"]["UNDERSTACK_HARDENING"] == "on"
    assert container["env"]["NAUTOBOT_ALLOWED_HOSTS"] in (
        "localhost",
        "nautobot.example.com",
    )


# --- probes, mounts, rights ----------------------------------------------------


@EACH_SCENARIO
def test_worker_probes_use_the_library(scenario):
    found = {
        component: {
            probe: said.get("exec", {}).get("command")
            for probe, said in container["probes"].items()
        }
        for component, container in containers(scenario)
        if component not in ("nautobot-default", "nautobot-celery-beat")
    }
    program = "understack-nautobot-settings"
    assert {*map(str, found.values())} == {
        str(
            {
                "livenessProbe": [program, "probe", "worker"],
                "readinessProbe": [program, "probe", "database", "cache", "broker"],
            }
        )
    }


@pytest.mark.parametrize("scenario", [one for one in EXAMPLES if "global" in one])
def test_beat_keeps_the_heartbeat_probe_of_the_chart(scenario):
    ((_, beat),) = [one for one in containers(scenario) if one[0].endswith("beat")]
    assert [*beat["probes"]] == ["livenessProbe"]
    assert beat["probes"]["livenessProbe"]["exec"] == {
        "file": "/tmp/nautobot_celery_beat_heartbeat"
    }


@pytest.mark.parametrize("scenario", [one for one in EXAMPLES if "global" in one])
def test_web_probe_uses_an_allowed_host_name(scenario):
    ((_, web),) = [one for one in containers(scenario) if one[0] == "nautobot-default"]
    for probe in web["probes"].values():
        (header,) = probe["httpGet"]["httpHeaders"]
        assert header == {"name": "Host", "value": web["env"]["NAUTOBOT_ALLOWED_HOSTS"]}


@EACH_SCENARIO
def test_workers_have_an_init_container_that_waits(scenario):
    waiting = [one for _, one in containers(scenario, init=True) if not one["ports"]]
    programs = [one["program"] for one in waiting]
    assert programs.count("understack-nautobot-settings") == len(
        [component for component, _ in containers(scenario) if "celery" in component]
    )
    for container in waiting:
        if container["program"]:
            assert container["resources"]["limits"]
            assert container["resources"]["requests"]


@EACH_CONTAINER
def test_mounts_are_complete_and_without_duplicates(name):
    _, pod, container = CONTAINERS[name]
    paths = [path.rstrip("/") for path, _ in container["mounts"]]
    assert len(paths) == len({*paths})
    assert len(container["names"]) == len({*container["names"]})
    assert MOUNT in paths
    assert {volume for _, volume in container["mounts"]} <= {*pod["volumes"]}
    assert len(pod["volumes"]) == len({*pod["volumes"]})


@EACH_CONTAINER
def test_containers_have_the_least_privileges(name):
    _, pod, container = CONTAINERS[name]
    rights = {**pod["securityContext"], **container["securityContext"]}
    wanted = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "fsGroup": 999,
        "readOnlyRootFilesystem": True,
        "runAsGroup": 999,
        "runAsNonRoot": True,
        "runAsUser": 999,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert rights == wanted


@EACH_SCENARIO
def test_workers_serve_metrics(scenario):
    for component, container in containers(scenario):
        if "celery" in component and "beat" not in component:
            assert container["ports"] == {"workermetrics": 8080}
            port = container["env"]["NAUTOBOT_CELERY_WORKER_PROMETHEUS_PORTS"]
            assert port == "8080"
