"""The examples are what their readers take: kubectl, the API, operators, yamllint.

Types and required fields, and also that no field is one that the reader does not
know: TypeScript refuses a literal with a property that the interface lacks.
"""

from __future__ import annotations

import json
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hera.events import models as argo_events

from lab.installation import kubectl
from lab.installation import node_packages
from tests.kubernetes_examples import EXAMPLES
from tests.kubernetes_examples import KUSTOMIZATIONS
from tests.kubernetes_examples import deployments
from tests.kubernetes_examples import manifests

PACKAGES = {
    "cert-manager": "6.0.0",
    "cloudnative-pg": "2.0.0",
    "envoy-gateway": "2.0.0",
    "external-secrets": "2.0.0",
    "gateway-api": "2.0.0",
    "prometheus-operator": "6.0.0",
}
MODULES = {
    "v1": "kubernetes-models/v1",
    "apps/v1": "kubernetes-models/apps/v1",
    "batch/v1": "kubernetes-models/batch/v1",
    "networking.k8s.io/v1": "kubernetes-models/networking.k8s.io/v1",
    "gateway.envoyproxy.io/v1alpha1": (
        "@kubernetes-models/envoy-gateway/gateway.envoyproxy.io/v1alpha1"
    ),
    "rbac.authorization.k8s.io/v1": ("kubernetes-models/rbac.authorization.k8s.io/v1"),
    "cert-manager.io/v1": "@kubernetes-models/cert-manager/cert-manager.io/v1",
    "postgresql.cnpg.io/v1": (
        "@kubernetes-models/cloudnative-pg/postgresql.cnpg.io/v1"
    ),
    "external-secrets.io/v1": (
        "@kubernetes-models/external-secrets/external-secrets.io/v1"
    ),
    "external-secrets.io/v1alpha1": (
        "@kubernetes-models/external-secrets/external-secrets.io/v1alpha1"
    ),
    "gateway.networking.k8s.io/v1": (
        "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1"
    ),
    "gateway.networking.k8s.io/v1alpha2": (
        "@kubernetes-models/gateway-api/gateway.networking.k8s.io/v1alpha2"
    ),
    "monitoring.coreos.com/v1": (
        "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1"
    ),
}
ARGO = "argoproj.io/v1alpha1"
TYPESCRIPT = "5.9.3"


def known() -> dict[str, dict[str, Any]]:
    """Return every manifest, the chart's deployments and the Sensor's Job."""
    found = dict(manifests())
    for place in ("global", "site"):
        found.update(deployments(place))
    for name, manifest in list(found.items()):
        if manifest["kind"] == "Sensor":
            for trigger in manifest["spec"]["triggers"]:
                found[f"{name}:job"] = trigger["template"]["k8s"]["source"]["resource"]
    return found


MANIFESTS = known()
TYPED = {
    name: manifest
    for name, manifest in MANIFESTS.items()
    if manifest["apiVersion"] != ARGO
}


@pytest.fixture(scope="session")
def node() -> Any:
    version = "-".join(PACKAGES.values())
    directory, run = node_packages(
        f"kubernetes-schemas-{TYPESCRIPT}-{version}",
        f"typescript@{TYPESCRIPT}",
        *(f"@kubernetes-models/{name}@{is_}" for name, is_ in PACKAGES.items()),
    )
    return directory, run


def type_errors(node: Any, tmp_path: Path, found: dict[str, Any]) -> list[str]:
    """Return what TypeScript says, one line for each manifest that has errors."""
    directory, run = node
    (tmp_path / "node_modules").symlink_to(directory / "node_modules")
    for number, manifest in enumerate(found.values()):
        interface = f"I{manifest['kind']}"
        (tmp_path / f"manifest{number}.ts").write_text(
            f"import type {{ {interface} }} from "
            f"'{MODULES[manifest['apiVersion']]}';\n"
            f"export const manifest: {interface} = {json.dumps(manifest)};\n"
        )
    done = run(
        str(directory / "node_modules" / "typescript" / "bin" / "tsc"),
        *("--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"),
        *("--module", "nodenext", "--moduleResolution", "nodenext"),
        *map(str, sorted(tmp_path.glob("*.ts"))),
    )
    names = list(found)
    errors = []
    for line in done.stdout.splitlines():
        if line.startswith(" "):
            continue
        file, _, text = line.partition("): ")
        number = int(file.rpartition("manifest")[2].partition(".")[0])
        errors.append(f"{names[number]}: {text}")
    return errors


def test_manifest_fields_exist_in_their_types(node: Any, tmp_path: Path) -> None:
    assert type_errors(node, tmp_path, TYPED) == []


def test_misspelt_manifest_field_is_reported(node: Any, tmp_path: Path) -> None:
    (name,) = (one for one in TYPED if one.endswith("Cluster/nautobot-cluster"))
    cluster = json.loads(json.dumps(TYPED[name]))
    cluster["spec"]["certificates"]["clientCaSecret"] = "mtls-ca-cert"
    (error,) = type_errors(node, tmp_path, {name: cluster})
    assert '"clientCaSecret"\' does not exist in type' in error


def test_manifests_match_their_schemas(node: Any, tmp_path: Path) -> None:
    directory, run = node
    (tmp_path / "node_modules").symlink_to(directory / "node_modules")
    (tmp_path / "validate.mjs").write_text("""
import { readFileSync } from 'node:fs';
for (const [name, module, manifest] of JSON.parse(readFileSync(process.argv[2]))) {
  const kind = (await import(module))[manifest.kind];
  try {
    new kind(manifest).validate();
    console.log('valid');
  } catch (error) {
    console.log(`${name}: ${error.message}`);
  }
}
""")
    wrong = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": "1"}}
    listed = [
        [name, MODULES[manifest["apiVersion"]], manifest]
        for name, manifest in {**TYPED, "wrong": wrong}.items()
    ]
    (tmp_path / "manifests.json").write_text(json.dumps(listed))
    done = run(str(tmp_path / "validate.mjs"), str(tmp_path / "manifests.json"))
    *said, last = done.stdout.splitlines()
    assert done.stderr == ""
    assert [line for line in said if line != "valid"] == []
    assert len(said) == len(TYPED)
    assert last.startswith("wrong: ")


@pytest.mark.parametrize(
    "name",
    # The published schema leaves EventBus out.
    [
        name
        for name in MANIFESTS
        if MANIFESTS[name]["kind"] in ("EventSource", "Sensor")
    ],
)
def test_argo_events_models_know_every_field(name: str) -> None:
    content = {key: deepcopy(MANIFESTS[name][key]) for key in ("metadata", "spec")}
    for event in content["spec"].get("resource", {}).values():
        # Inline in the manifest, which the published schema does not say.
        event["groupVersionResource"] = {
            part: event.pop(part) for part in ("group", "version", "resource")
        }
    for trigger in content["spec"].get("triggers", []):
        # Any object may stand there; it has a test of its own.
        del trigger["template"]["k8s"]["source"]
    read = getattr(argo_events, MANIFESTS[name]["kind"]).model_validate(content)
    # What the model does not know, it drops.
    back = read.model_dump(mode="json", by_alias=True, exclude_unset=True)
    assert back == content


@pytest.mark.parametrize(
    "directory", KUSTOMIZATIONS, ids=lambda path: str(path.relative_to(EXAMPLES))
)
def test_kustomize_build_matches_the_files(directory: Path) -> None:
    done = subprocess.run(
        [kubectl(), "kustomize", str(directory)],
        capture_output=True,
        text=True,
        check=True,
    )
    built = list(yaml.safe_load_all(done.stdout))
    wanted = yaml.safe_load((directory / "kustomization.yaml").read_text())
    listed = [
        document
        for resource in wanted["resources"]
        for document in yaml.safe_load_all((directory / resource).read_text())
    ]
    generated = [one for one in built if one["kind"] == "ConfigMap"]
    assert len(generated) == len(wanted.get("configMapGenerator", []))
    assert sorted(
        (one["kind"], one["metadata"]["name"]) for one in built if one not in generated
    ) == sorted((one["kind"], one["metadata"]["name"]) for one in listed)
    namespaces = {one["metadata"]["namespace"] for one in built}
    assert len(namespaces) == 1


def test_yamllint_reports_nothing() -> None:
    done = subprocess.run(
        ["yamllint", "--strict", "--config-file", str(CONFIG), str(EXAMPLES)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "")


CONFIG = EXAMPLES.parent.parent / ".yamllint.yaml"
