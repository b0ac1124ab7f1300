"""Reads examples/kubernetes, and puts values together as the Helm chart does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

EXAMPLES = Path(__file__).parent.parent / "examples" / "kubernetes"
SITE = EXAMPLES / "site"

KUSTOMIZATIONS = (
    EXAMPLES,
    SITE / "global",
    SITE / "nautobot-worker",
    EXAMPLES / "renewal-cronjob",
    EXAMPLES / "accounts",
)

Manifest = dict[str, Any]


def documents(path: Path) -> list[Manifest]:
    """Return the YAML documents of a file."""
    return list(yaml.safe_load_all(path.read_text(encoding="utf-8")))


def manifest_files() -> list[Path]:
    """Return every file with manifests, Helm values and kustomizations aside."""
    others = {"values.yaml", "kustomization.yaml"}
    return sorted(path for path in EXAMPLES.rglob("*.yaml") if path.name not in others)


def manifests() -> Iterator[tuple[str, Manifest]]:
    """Yield each manifest with a name for it."""
    for path in manifest_files():
        for manifest in documents(path):
            name = f"{manifest['kind']}/{manifest['metadata']['name']}"
            yield f"{path.relative_to(EXAMPLES)}:{name}", manifest


def one(kind: str, name: str) -> Manifest:
    """Return the only manifest of that kind and name."""
    (found,) = (
        manifest
        for _, manifest in manifests()
        if manifest["kind"] == kind and manifest["metadata"]["name"] == name
    )
    return found


def values(place: str) -> Manifest:
    """Return the Helm values: ``global``, or ``site``."""
    directory = SITE / "nautobot-worker" if place == "site" else EXAMPLES / "global"
    (found,) = documents(directory / "values.yaml")
    return found


def environment(place: str, component: str) -> dict[str, str]:
    """Return the variables that the values set for web, worker or beat."""
    chart = values(place)
    nautobot, celery = chart["nautobot"], chart["celery"]
    lists = {
        "web": nautobot.get("extraEnvVars", []),
        "worker": celery.get("extraEnvVars", []),
        "beat": chart["workers"]["beat"].get("extraEnvVars", []),
    }
    entries = [*nautobot["extraVars"], *lists[component]]
    return {entry["name"]: entry["value"] for entry in entries}


def deployments(place: str) -> Iterator[tuple[str, Manifest]]:
    """Yield what the Helm chart makes of the values, as far as they say something.

    The chart hands probes, volumes, containers and security contexts on as they
    are; a template in a string is replaced by what it stands for.
    """
    chart = values(place)
    pods = {"web": chart["nautobot"]} if chart["nautobot"].get("enabled", True) else {}
    for name, worker in chart["workers"].items():
        if worker["enabled"]:
            pods[name] = {**chart["celery"], **worker}
    for name, pod in pods.items():
        yield f"{place}:{name}", _deployment(name, pod)


def _deployment(name: str, pod: Manifest) -> Manifest:
    labels = {"app": name}
    container: Manifest = {
        "name": "nautobot",
        "image": "nautobot",
        "env": pod.get("extraEnvVars", []),
        "volumeMounts": pod["extraVolumeMounts"],
    }
    for probe in ("livenessProbe", "readinessProbe"):
        if pod[probe].get("enabled", True):
            container[probe] = _without_enabled(pod[probe])
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": pod.get("replicaCount", 1),
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "securityContext": _without_enabled(pod["podSecurityContext"]),
                    "initContainers": _rendered(pod.get("initContainers", [])),
                    "containers": [container],
                    "volumes": pod["extraVolumes"],
                },
            },
        },
    }


def _without_enabled(section: Manifest) -> Manifest:
    return {key: value for key, value in section.items() if key != "enabled"}


def _rendered(value: Any) -> Any:
    if isinstance(value, list):
        return [_rendered(one) for one in value]
    if isinstance(value, dict):
        return {key: _rendered(one) for key, one in value.items()}
    templates = {
        '{{ include "nautobot.image" . }}': "nautobot",
        '{{ include "common.names.fullname" . }}-env': "nautobot-env",
    }
    return templates.get(value, value)
