"""Renders Nautobot's Helm chart with the example values, and keeps what matters of it.

``python -m tests.chart --chart PATH`` takes the chart from a directory or archive, and
runs tests/contract/test_chart.py on what it renders. ``--write`` keeps the facts in
tests/rendered.json, from which the same tests run where there is no chart. The facts
are names, numbers and variables: no text of the chart, and dummies for secrets.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.kubernetes_examples import values

STORED = Path(__file__).with_name("rendered.json")
CONFIG = "from understack_nautobot_settings import configure\n\nconfigure(globals())\n"

Layer = dict[str, Any]

# The lists and switches of UnderStack's base values, and what its Argo CD application
# of a site adds. Layers that come later win.
BASE_SITE: Layer = {
    "nautobot": {"replicaCount": 0, "superUser": {"enabled": False}},
    "celery": {
        "extraEnvVarsCM": ["cluster-data"],
        "extraEnvVarsSecret": ["nautobot-django", "nautobot-custom-env"],
        "livenessProbe": {"initialDelaySeconds": 60, "timeoutSeconds": 60},
        "readinessProbe": {"initialDelaySeconds": 60, "timeoutSeconds": 60},
    },
    "workers": {"beat": {"enabled": False}},
    "redis": {"enabled": False},
    "postgresql": {"enabled": False},
}
BASE_GLOBAL: Layer = {
    "nautobot": {
        "superUser": {
            "enabled": True,
            "existingSecret": "nautobot-superuser",
            "existingSecretPasswordKey": "password",
            "existingSecretApiTokenKey": "apitoken",
        },
        "db": {"existingSecret": "nautobot-cluster-app"},
        "django": {"existingSecret": "nautobot-django"},
        "extraVolumes": [
            {"name": "nautobot-sso", "secret": {"secretName": "nautobot-sso"}}
        ],
        "extraVolumeMounts": [
            {"name": "nautobot-sso", "mountPath": "/opt/nautobot/sso/"}
        ],
        "extraVars": [{"name": "NAUTOBOT_DB_USER", "value": "app"}],
        "extraEnvVarsCM": ["nautobot-sso", "cluster-data"],
        "extraEnvVarsSecret": ["nautobot-custom-env"],
        "livenessProbe": {"periodSeconds": 120, "timeoutSeconds": 60},
    },
    "celery": {
        "extraEnvVarsCM": ["cluster-data"],
        "extraEnvVarsSecret": ["nautobot-django", "nautobot-custom-env"],
        "livenessProbe": {"initialDelaySeconds": 60, "timeoutSeconds": 60},
        "readinessProbe": {"initialDelaySeconds": 60, "timeoutSeconds": 60},
    },
    "postgresql": {"enabled": False},
    "redis": {"enabled": True, "auth": {"existingSecret": "nautobot-redis"}},
    "metrics": {"enabled": True},
}
ARGO_CD_SITE: Layer = {
    "nautobot": {"config": CONFIG},
    "workers": {
        "default": {"enabled": False},
        "example-site": {"enabled": True, "taskQueues": "example-site"},
    },
}
ARGO_CD_GLOBAL: Layer = {"nautobot": {"config": CONFIG}}
LAYERS: dict[str, list[Layer]] = {
    "site alone": [values("site")],
    "site base": [BASE_SITE],
    "site over base": [BASE_SITE, values("site")],
    "site under Argo CD": [BASE_SITE, values("site"), ARGO_CD_SITE],
    "global alone": [values("global")],
    "global base": [BASE_GLOBAL],
    "global over base": [BASE_GLOBAL, values("global")],
    "global under Argo CD": [BASE_GLOBAL, values("global"), ARGO_CD_GLOBAL],
}
# What stands in objects that others bring.
CONFIG_MAPS = {
    "cluster-data": {
        "UNDERSTACK_PARTITION": "example-partition",
        "UNDERSTACK_SITE": "example-site",
    },
    "nautobot-sso": {"NAUTOBOT_SSO_CLAIMS_GROUP": "groups"},
}
SECRETS = {
    "nautobot-django": ["NAUTOBOT_SECRET_KEY"],
    "nautobot-redis": ["NAUTOBOT_REDIS_PASSWORD"],
    "nautobot-custom-env": ["EXAMPLE_TOKEN"],
}
SERVICE_ADDRESS = "10.96.1.2"


def digest() -> str:
    """Return a digest of the values and layers that facts are rendered from."""
    text = json.dumps([LAYERS, CONFIG_MAPS, SECRETS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def facts(chart: Path) -> dict[str, Any]:
    """Return the facts of every scenario, and of which chart they are."""
    import helm_python

    with tempfile.TemporaryDirectory() as directory:
        source = _copy(chart, Path(directory))
        with helm_python.Chart.load(source) as loaded:
            return {
                "chart": f"{loaded.name} {loaded.version}",
                "digest": digest(),
                "scenarios": {
                    name: _scenario(loaded, name, layers)
                    for name, layers in LAYERS.items()
                },
            }


def _copy(chart: Path, directory: Path) -> Path:
    """Copy the chart, without the references of its schema to other machines."""
    if chart.is_file():
        with tarfile.open(chart) as archive:
            archive.extractall(directory, filter="data")
        (target,) = directory.iterdir()
    else:
        target = directory / "chart"
        shutil.copytree(chart, target)
    schema = target / "values.schema.json"
    if schema.is_file():
        local = _without_remote_references(json.loads(schema.read_text("utf-8")))
        schema.write_text(json.dumps(local), encoding="utf-8")
    return target


def _without_remote_references(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_remote_references(one) for one in value]
    if isinstance(value, dict):
        return {
            key: _without_remote_references(one)
            for key, one in value.items()
            if not (key == "$ref" and str(one).startswith("https://"))
        }
    return value


def _merged(layers: list[Layer]) -> Layer:
    """Merge as Helm does: maps are merged, everything else is replaced."""
    merged: Layer = {}
    for layer in layers:
        for key, value in layer.items():
            old = merged.get(key)
            both = isinstance(old, dict) and isinstance(value, dict)
            merged[key] = _merged([old, value]) if both else value
    return merged


class _Loader(yaml.SafeLoader):
    """Remembers keys that a mapping holds twice; what reads manifests refuses them."""

    repeated: list[str]

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Build the mapping."""
        counts = Counter(str(key.value) for key, _ in node.value)
        self.repeated += [name for name, count in counts.items() if count > 1]
        return super().construct_mapping(node, deep)


def _scenario(chart: Any, name: str, layers: list[Layer]) -> dict[str, Any]:
    release = "nautobot-worker" if name.startswith("site") else "nautobot"
    rendered = chart.render(_merged(layers), name=release, namespace="nautobot")
    manifests, repeated = [], []
    for text in rendered.values():
        loader = _Loader(text)
        loader.repeated = repeated
        try:
            while loader.check_data():
                manifest = loader.get_data()
                if isinstance(manifest, dict) and "kind" in manifest:
                    manifests.append(manifest)
        except yaml.YAMLError:
            # NOTES.txt is prose.
            if "kind:" in text:
                raise
    named = {(one["kind"], one["metadata"]["name"]): one for one in manifests}
    pods = {
        manifest["metadata"]["name"]: _pod(manifest["spec"]["template"], named)
        for manifest in manifests
        if manifest["kind"] == "Deployment" and manifest["spec"].get("replicas") != 0
    }
    return {
        "repeated": repeated,
        "pods": pods,
        "variables": named["ConfigMap", f"{release}-env"]["data"],
    }


def _pod(template: dict[str, Any], named: dict[Any, Any]) -> dict[str, Any]:
    spec = template["spec"]
    return {
        "labels": {
            name: value
            for name, value in template["metadata"]["labels"].items()
            if not name.startswith("helm.sh/")
        },
        "securityContext": spec.get("securityContext", {}),
        "volumes": [volume["name"] for volume in spec["volumes"]],
        "containers": {
            container["name"]: _container(container, container in first, named)
            for first in [spec.get("initContainers") or []]
            for container in [*first, *spec["containers"]]
        },
    }


def _container(
    container: dict[str, Any], first: bool, named: dict[Any, Any]
) -> dict[str, Any]:
    kept = ("image", "resources", "securityContext")
    probes = ("livenessProbe", "readinessProbe")
    found = {key: container[key] for key in kept if key in container}
    command = container.get("command", [])
    return {
        **found,
        "init": first,
        "program": command[0] if command else "",
        "ports": {
            one["name"]: one["containerPort"] for one in container.get("ports", [])
        },
        "mounts": [
            [one["mountPath"], one["name"]] for one in container["volumeMounts"]
        ],
        "names": [one["name"] for one in container.get("env", [])],
        "env": dict(sorted(_environment(container, named).items())),
        "probes": {
            probe: _probe(container[probe]) for probe in probes if probe in container
        },
    }


def _probe(probe: dict[str, Any]) -> dict[str, Any]:
    """Return a probe; of a shell script only the file that it looks at."""
    command = probe.get("exec", {}).get("command", [])
    if command[:1] == ["bash"]:
        words = [word for word in command[-1].split() if word.startswith("/tmp/")]
        return {**probe, "exec": {"file": words[0] if words else ""}}
    return probe


def _environment(container: dict[str, Any], named: dict[Any, Any]) -> dict[str, str]:
    """Return what a process in the container sees, as kubelet puts it together."""
    env = dict(_service_links(named))
    for source in container.get("envFrom", []):
        if "configMapRef" in source:
            name = source["configMapRef"]["name"]
            own = named.get(("ConfigMap", name), {"data": CONFIG_MAPS.get(name)})
            env.update(own["data"])
        else:
            name = source["secretRef"]["name"]
            own = named.get(("Secret", name), {})
            keys = own.get("data") or own.get("stringData") or SECRETS.get(name, [])
            env.update({key: dummy(key) for key in keys})
    for entry in container.get("env", []):
        secret = entry.get("valueFrom", {}).get("secretKeyRef")
        if secret:
            env[entry["name"]] = dummy(entry["name"])
        elif "value" in entry:
            env[entry["name"]] = entry["value"]
    return env


def dummy(name: str) -> str:
    """Return what stands for the secret value of a variable."""
    if name == "NAUTOBOT_DB_USER":
        return "app"
    return hashlib.sha256(name.encode()).hexdigest()


def _service_links(named: dict[Any, Any]) -> Iterator[tuple[str, str]]:
    """Yield the variables that kubelet makes of the Services of the namespace."""
    for (kind, name), service in named.items():
        if kind != "Service" or service["spec"].get("clusterIP") == "None":
            continue
        prefix = name.upper().replace("-", "_")
        ports = service["spec"]["ports"]
        yield f"{prefix}_SERVICE_HOST", SERVICE_ADDRESS
        yield f"{prefix}_SERVICE_PORT", str(ports[0]["port"])
        yield f"{prefix}_PORT", f"tcp://{SERVICE_ADDRESS}:{ports[0]['port']}"
        for port in ports:
            number = str(port["port"])
            link = port["name"].upper().replace("-", "_")
            yield f"{prefix}_SERVICE_PORT_{link}", number
            yield f"{prefix}_PORT_{number}_TCP", f"tcp://{SERVICE_ADDRESS}:{number}"
            yield f"{prefix}_PORT_{number}_TCP_PROTO", "tcp"
            yield f"{prefix}_PORT_{number}_TCP_PORT", number
            yield f"{prefix}_PORT_{number}_TCP_ADDR", SERVICE_ADDRESS


def main(arguments: list[str] | None = None) -> int:
    """Render, and run the tests on what was rendered."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.chart")
    parser.add_argument("--chart", type=Path, required=True, help="directory or .tgz")
    parser.add_argument("--write", action="store_true", help=f"keep in {STORED.name}")
    options, more = parser.parse_known_args(arguments)
    text = json.dumps(facts(options.chart), indent=1, sort_keys=True) + "\n"
    if options.write:
        STORED.write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory) / "rendered.json"
        fresh.write_text(text, encoding="utf-8")
        test = str(Path(__file__).parent / "contract" / "test_chart.py")
        return subprocess.run(
            [sys.executable, "-m", "pytest", test, *more],
            env={**os.environ, "RENDERED_FACTS": str(fresh)},
            check=False,
        ).returncode


if __name__ == "__main__":
    sys.exit(main())
