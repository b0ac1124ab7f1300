"""The Kubernetes examples agree with the library, with each other, and hold what
experience has put into them.
"""

import json
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer

import pytest
import yaml

from lab.certificates import Authority
from lab.certificates import write_mount
from tests.kubernetes_examples import EXAMPLES
from tests.kubernetes_examples import KUSTOMIZATIONS
from tests.kubernetes_examples import SITE
from tests.kubernetes_examples import deployments
from tests.kubernetes_examples import documents
from tests.kubernetes_examples import environment
from tests.kubernetes_examples import manifest_files
from tests.kubernetes_examples import manifests
from tests.kubernetes_examples import one
from tests.kubernetes_examples import values
from understack_nautobot_settings.commands.main import command
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.nautobot_variables import NAUTOBOT_NAMES
from understack_nautobot_settings.environment.reader import Reader
from understack_nautobot_settings.queues.wishes import read_wishes

PODS = [
    ("global", "web"),
    ("global", "worker"),
    ("global", "beat"),
    ("site", "worker"),
]
MOUNT = "/etc/nautobot/mtls"
DEPLOYMENTS = {
    name: deployment
    for place in ("global", "site")
    for name, deployment in deployments(place)
}


def certificate(name):
    return one("Certificate", name)["spec"]


# --- variables -----------------------------------------------------------------


@pytest.mark.parametrize(("place", "component"), PODS)
def test_named_variables_are_all_known(place, component):
    declared = {name for one in variables.VARIABLES for name in one.names}
    assert {*environment(place, component)} <= declared | NAUTOBOT_NAMES


@pytest.mark.parametrize(("place", "component"), PODS)
def test_variable_values_in_manifests_are_valid(place, component):
    env = environment(place, component)
    problems = []
    for variable in variables.VARIABLES:
        Reader(env, problems)(variable)
    assert problems == []
    assert all(isinstance(value, str) for value in env.values())


def test_certificate_paths_of_site_are_the_defaults():
    env = environment("site", "worker")
    paths = {
        variable.name: env[variable.name]
        for variable in (
            variables.REDIS_SSL_CA_CERTS,
            variables.REDIS_SSL_CERTFILE,
            variables.REDIS_SSL_KEYFILE,
        )
    }
    assert paths == {
        "NAUTOBOT_REDIS_SSL_CA_CERTS": f"{MOUNT}/ca.crt",
        "NAUTOBOT_REDIS_SSL_CERTFILE": f"{MOUNT}/tls.crt",
        "NAUTOBOT_REDIS_SSL_KEYFILE": f"{MOUNT}/tls.key",
    }
    assert {variable.default for variable in variables.VARIABLES} > {*paths.values()}


def test_site_takes_tasks_from_queue_of_its_partition():
    partition = environment("site", "worker")["UNDERSTACK_PARTITION"]
    assert values("site")["workers"]["default"]["taskQueues"] == partition


def test_manifests_set_no_private_ca_bundle():
    for place, component in PODS:
        assert not {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"} & {
            *environment(place, component)
        }


def test_gateway_routes_match_the_hosts_and_direct_negotiation():
    chart = values("site")["nautobot"]
    routes = {
        route: one("TLSRoute", route)["spec"]["hostnames"]
        for route in ("nautobot-db", "nautobot-redis")
    }
    assert routes == {
        "nautobot-db": [chart["db"]["host"]],
        "nautobot-redis": [chart["redis"]["host"]],
    }
    assert environment("site", "worker")["NAUTOBOT_DB_SSLNEGOTIATION"] == "direct"


def test_hardened_pod_is_probed_with_an_allowed_host_name():
    chart = values("global")["nautobot"]
    assert environment("global", "web")["UNDERSTACK_HARDENING"] == "on"
    for probe in ("livenessProbe", "readinessProbe"):
        (header,) = chart[probe]["httpGet"]["httpHeaders"]
        assert header == {"name": "Host", "value": chart["allowedHosts"]}


# --- volumes, probes, init containers ------------------------------------------


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_certificates_are_mounted_at_the_default_path(name):
    pod = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["mtls-certs"]["secret"] == {
        "secretName": "nautobot-mtls-client",
        "defaultMode": 0o400,
    }
    assert pod["securityContext"]["fsGroup"] == 999
    for container in [*pod["containers"], *pod["initContainers"]]:
        mounts = {one["name"]: one for one in container["volumeMounts"]}
        assert mounts["mtls-certs"] == {
            "name": "mtls-certs",
            "mountPath": MOUNT,
            "readOnly": True,
        }


def test_no_secret_is_mounted_by_sub_path():
    for path in EXAMPLES.rglob("*.yaml"):
        assert "subPath:" not in path.read_text()


def test_file_modes_in_manifests_are_decimal():
    text = (SITE / "nautobot-worker" / "values.yaml").read_text()
    assert "defaultMode: 256\n" in text
    for path in EXAMPLES.rglob("*.yaml"):
        assert "defaultMode: 0" not in path.read_text()


def commands():
    for name, deployment in DEPLOYMENTS.items():
        pod = deployment["spec"]["template"]["spec"]
        for container in pod["initContainers"]:
            yield f"{name}:{container['name']}", container["command"]
        (container,) = pod["containers"]
        for probe in ("livenessProbe", "readinessProbe"):
            if "exec" in container.get(probe, {}):
                yield f"{name}:{probe}", container[probe]["exec"]["command"]
    for trigger in one("Sensor", "nautobot-token")["spec"]["triggers"]:
        job = trigger["template"]["k8s"]["source"]["resource"]
        (container,) = job["spec"]["template"]["spec"]["containers"]
        yield "sensor", container["command"]


@pytest.mark.parametrize("words", [pytest.param(c, id=n) for n, c in commands()])
def test_commands_in_manifests_are_accepted(words):
    program, name, *arguments = words
    assert program == "understack-nautobot-settings"
    parser = argument_parser()
    command(name).add_arguments(parser)
    parser.parse_args(arguments)


def argument_parser():
    from argparse import ArgumentParser

    return ArgumentParser(exit_on_error=False)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_kubelet_timeout_is_longer_than_probe_timeout(name):
    (container,) = DEPLOYMENTS[name]["spec"]["template"]["spec"]["containers"]
    for probe in ("livenessProbe", "readinessProbe"):
        words = container.get(probe, {}).get("exec", {}).get("command")
        if words:
            parser = argument_parser()
            command(words[1]).add_arguments(parser)
            seconds = parser.parse_args(words[2:]).attempt_timeout
            assert container[probe]["timeoutSeconds"] > seconds


# --- certificates --------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("mtls-ca", {"commonName": "understack-mtls-ca", "isCA": True}),
        ("mtls-ca", {"secretName": "mtls-ca-key-pair", "duration": "87600h"}),
        ("mtls-ca-cert", {"secretName": "mtls-ca-cert"}),
        (
            "nautobot-cluster-server-tls",
            {"commonName": "nautobot-cluster-rw.nautobot.svc", "duration": "8760h"},
        ),
        (
            "nautobot-cluster-replication",
            {"commonName": "streaming_replica", "usages": ["client auth"]},
        ),
        (
            "nautobot-redis-server-tls",
            {"commonName": "nautobot-redis-master.nautobot.svc", "duration": "8760h"},
        ),
        (
            "nautobot-mtls-client",
            {"commonName": "app", "usages": ["client auth"], "duration": "26280h"},
        ),
        (
            "nautobot-mtls-client-example-site",
            {"commonName": "app", "usages": ["client auth"], "duration": "26280h"},
        ),
    ],
)
def test_certificates_match_the_documents(name, expected):
    spec = certificate(name)
    assert {key: spec[key] for key in expected} == expected
    assert spec["privateKey"]["algorithm"] == "ECDSA"
    assert spec["privateKey"]["size"] == 256


def test_certificates_are_all_issued_by_the_ca():
    issuers = {
        manifest["metadata"]["name"]: manifest["spec"]["issuerRef"]["name"]
        for _, manifest in manifests()
        if manifest["kind"] == "Certificate"
    }
    assert issuers.pop("mtls-ca") == "mtls-selfsigned"
    assert {*issuers.values()} == {"mtls-ca-issuer"}
    assert one("Issuer", "mtls-selfsigned")["spec"] == {"selfSigned": {}}
    assert one("Issuer", "mtls-ca-issuer")["spec"] == {
        "ca": {"secretName": "mtls-ca-key-pair"}
    }


def test_ca_after_renewal_keeps_its_key():
    assert certificate("mtls-ca")["privateKey"]["rotationPolicy"] == "Never"


def test_cnpg_secrets_have_the_reload_label():
    label = {"cnpg.io/reload": "true"}
    assert one("Certificate", "mtls-ca-cert")["metadata"]["labels"] == label
    secrets = one("Cluster", "nautobot-cluster")["spec"]["certificates"]
    for name in {*secrets.values()}:
        assert certificate(name)["secretTemplate"]["labels"] == label


def test_cluster_has_four_certificate_fields_and_refuses_passwords():
    spec = one("Cluster", "nautobot-cluster")["spec"]
    assert spec["certificates"] == {
        "serverTLSSecret": "nautobot-cluster-server-tls",
        "serverCASecret": "mtls-ca-cert",
        "clientCASecret": "mtls-ca-cert",
        "replicationTLSSecret": "nautobot-cluster-replication",
    }
    assert spec["postgresql"]["pg_hba"] == [
        "hostssl all all all cert",
        "host all all all reject",
    ]
    assert (
        spec["bootstrap"]["initdb"]["owner"]
        == certificate("nautobot-mtls-client")["commonName"]
    )


def test_redis_values_require_client_certificates():
    assert values("global")["redis"]["tls"] == {
        "enabled": True,
        "authClients": True,
        "existingSecret": certificate("nautobot-redis-server-tls")["secretName"],
        "certFilename": "tls.crt",
        "certKeyFilename": "tls.key",
        "certCAFilename": "ca.crt",
    }
    # The probes of the chart present the server's certificate as a client.
    assert "usages" not in certificate("nautobot-redis-server-tls")


def test_server_certificates_have_the_names_that_clients_verify():
    database = certificate("nautobot-cluster-server-tls")["dnsNames"]
    redis = certificate("nautobot-redis-server-tls")["dnsNames"]
    for place in ("global", "site"):
        assert values(place)["nautobot"]["db"]["host"] in database
    assert values("site")["nautobot"]["redis"]["host"] in redis
    # Where the chart brings Redis, this is the host it writes down.
    assert "nautobot-redis-master" in redis


# --- secrets -------------------------------------------------------------------


def external_secret(name):
    return one("ExternalSecret", name)["spec"]


def test_site_has_the_secrets_that_its_values_name():
    (kustomization,) = documents(SITE / "nautobot-worker" / "kustomization.yaml")
    targets = {}
    for resource in kustomization["resources"]:
        (manifest,) = documents(SITE / "nautobot-worker" / resource)
        if manifest["kind"] == "ExternalSecret":
            targets[resource] = manifest["spec"]["target"]["name"]
    assert targets == {
        "externalsecret-nautobot-django.yaml": "nautobot-django",
        "externalsecret-nautobot-db.yaml": "nautobot-db",
        "externalsecret-nautobot-worker-redis.yaml": "nautobot-redis",
        "externalsecret-dockerconfigjson-github-com.yaml": (
            "dockerconfigjson-github-com"
        ),
        "externalsecret-nautobot-mtls-client.yaml": "nautobot-mtls-client",
        "externalsecret-nautobot-custom-env.yaml": "nautobot-custom-env",
    }


def test_site_secret_splits_certificate_key_and_ca():
    template = external_secret("nautobot-mtls-client")["target"]["template"]
    assert template["type"] == "kubernetes.io/tls"
    assert template["data"] == {
        "tls.crt": '{{ .client_password | filterPEM "CERTIFICATE" }}',
        "tls.key": '{{ .client_password | filterPEM "EC PRIVATE KEY" }}',
        "ca.crt": '{{ .ca_password | filterPEM "CERTIFICATE" }}',
    }


def test_pushed_secrets_match_the_pulled_secrets():
    pushed = {}
    for name in ("mtls-ca-cert", "nautobot-mtls-client-example-site"):
        spec = one("PushSecret", name)["spec"]
        assert spec["selector"]["secret"]["name"] == certificate(name)["secretName"]
        (entry,) = spec["data"]
        remote = entry["match"]["remoteRef"]
        pushed[remote["remoteKey"]] = remote["property"]
    pulled = {
        source["extract"]["key"]
        for source in external_secret("nautobot-mtls-client")["dataFrom"]
    }
    assert {*pushed} == pulled
    assert {*pushed.values()} == {"password"}


def test_ca_key_is_never_pushed():
    for path in manifest_files():
        for manifest in documents(path):
            if manifest["kind"] == "PushSecret":
                assert "mtls-ca-key-pair" not in json.dumps(manifest)
    (entry,) = one("PushSecret", "mtls-ca-cert")["spec"]["data"]
    assert entry["match"]["secretKey"] == "ca.crt"


def test_secrets_used_by_site_all_exist():
    text = (SITE / "nautobot-worker" / "values.yaml").read_text()
    targets = {
        manifest["spec"]["target"]["name"]
        for _, manifest in manifests()
        if manifest["kind"] == "ExternalSecret"
    }
    chart = yaml.safe_load(text)
    nautobot, celery = chart["nautobot"], chart["celery"]
    named = {
        *nautobot["image"]["pullSecrets"],
        nautobot["db"]["existingSecret"],
        nautobot["redis"]["existingSecret"],
        nautobot["django"]["existingSecret"],
        *celery["extraEnvVarsSecret"],
        *(
            volume["secret"]["secretName"]
            for volume in celery["extraVolumes"]
            if "secret" in volume
        ),
        *(
            source["secretRef"]["name"]
            for container in celery["initContainers"]
            for source in container["envFrom"]
            if "secretRef" in source
        ),
    }
    assert named <= targets


# --- accounts ------------------------------------------------------------------


def test_event_source_watches_the_labelled_external_secret():
    """What it watches travels over the bus: no Secret may."""
    source = one("EventSource", "nautobot-token")["spec"]
    (event,) = source["resource"].values()
    (wanted,) = event["filter"]["labels"]
    label = {wanted["key"]: wanted["value"]}
    wanted = one("ExternalSecret", "nautobot-token")
    assert wanted["metadata"]["labels"] == label
    assert wanted["spec"]["target"]["template"]["metadata"]["labels"] == label
    assert (event["group"], event["resource"]) == (
        "external-secrets.io",
        "externalsecrets",
    )
    assert event["eventTypes"] == ["ADD", "UPDATE"]


def test_bootstrap_secret_starts_no_job():
    template = external_secret("nautobot-superuser")["target"]["template"]
    assert "metadata" not in template
    assert [*template["data"]] == ["token"]


def test_account_secret_has_the_fields_that_the_job_reads():
    from understack_nautobot_settings.accounts.credentials import FIELDS

    template = external_secret("nautobot-token")["target"]["template"]
    assert [*template["data"]] == [*FIELDS]


def test_job_mounts_the_secret_named_by_the_event():
    (trigger,) = one("Sensor", "nautobot-token")["spec"]["triggers"]
    template = trigger["template"]["k8s"]
    (parameter,) = template["parameters"]
    assert parameter["src"]["dataKey"] == "body.metadata.name"
    place = template["source"]["resource"]
    for part in parameter["dest"].split("."):
        place = place[int(part) if part.isdigit() else part]
    secret = one("ExternalSecret", "nautobot-token")
    assert place == secret["metadata"]["name"] == secret["spec"]["target"]["name"]


def test_sensor_listens_to_the_event_source():
    sensor = one("Sensor", "nautobot-token")["spec"]
    source = one("EventSource", "nautobot-token")
    (dependency,) = sensor["dependencies"]
    assert dependency["eventSourceName"] == source["metadata"]["name"]
    assert dependency["eventName"] in source["spec"]["resource"]
    bus = one("EventBus", "nautobot-token")["metadata"]["name"]
    assert sensor["eventBusName"] == source["spec"]["eventBusName"] == bus


def account_jobs():
    """Yield the Jobs that reconcile, with their names."""
    (trigger,) = one("Sensor", "nautobot-token")["spec"]["triggers"]
    yield "accounts", trigger["template"]["k8s"]["source"]["resource"]
    yield "queues", one("Job", "reconcile-queues")


def test_event_source_sensor_and_job_have_separate_service_accounts():
    watch, start = (
        one(kind, "nautobot-token")["spec"]["template"]["serviceAccountName"]
        for kind in ("EventSource", "Sensor")
    )
    run = {
        job["spec"]["template"]["spec"]["serviceAccountName"]
        for _, job in account_jobs()
    }
    assert len({watch, start, *run}) == 3
    rules = {name: one("Role", name)["rules"] for name in (watch, start)}
    assert rules == {
        watch: [
            {
                "apiGroups": ["external-secrets.io"],
                "resources": ["externalsecrets"],
                "verbs": ["get", "list", "watch"],
            }
        ],
        start: [{"apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create"]}],
    }


def test_roles_read_only_secrets_that_they_name():
    for name, manifest in manifests():
        for rule in manifest.get("rules", ()) if "Role" in manifest["kind"] else ():
            if {"secrets", "*"} & {*rule["resources"]}:
                assert rule.get("resourceNames"), name
                assert not {"list", "watch", "*"} & {*rule["verbs"]}, name


def pods(content):
    """Yield each description of a pod in a manifest, with its containers."""
    if isinstance(content, dict):
        containers = content.get("containers") or [content.get("container")]
        if isinstance(containers[0], dict):
            yield content, containers + content.get("initContainers", [])
        content = [*content.values()]
    for inner in content if isinstance(content, list) else ():
        yield from pods(inner)


def test_every_pod_runs_with_least_privilege():
    found = [
        (name, *pod)
        for name, manifest in manifests()
        if manifest.get("kind") != "HelmRelease"
        for pod in pods(manifest)
    ]
    assert len(found) >= 5
    for name, pod, containers in found:
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
        for container in containers:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name


def test_every_job_has_an_end():
    jobs = [one for _, one in manifests() if one.get("kind") in {"Job", "CronJob"}]
    for job in [*jobs, *(job for _, job in account_jobs())]:
        spec = job["spec"].get("jobTemplate", job)["spec"]
        assert 0 < spec["activeDeadlineSeconds"] <= 3600


def test_worker_reaches_no_more_than_it_must():
    policy = one("NetworkPolicy", "nautobot-worker")["spec"]
    assert {*policy["policyTypes"]} == {"Ingress", "Egress"}
    assert all(rule.get("ports") for rule in policy["ingress"] + policy["egress"])
    assert all(rule.get("from") for rule in policy["ingress"])
    dns, gateway, _ = policy["egress"]
    assert {port["port"] for port in dns["ports"]} == {53}
    assert gateway == {
        "to": [{"ipBlock": {"cidr": "192.0.2.10/32"}}],
        "ports": [
            {"protocol": "TCP", "port": 5432},
            {"protocol": "TCP", "port": 6379},
        ],
    }


@pytest.mark.parametrize(("name", "job"), [*account_jobs()])
def test_reconcile_job_has_the_least_privileges(name, job):
    pod = job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (pod["automountServiceAccountToken"], pod["restartPolicy"]) == (
        False,
        "Never",
    )
    assert "--url=https://nautobot.example.com" in container["command"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["bootstrap"]["secret"]["items"] == [
        {"key": "token", "path": "token"}
    ]
    assert (name == "accounts") == ("--owner=example-cluster" in container["command"])


def test_queue_job_reads_the_file_of_the_config_map():
    job = one("Job", "reconcile-queues")["spec"]["template"]["spec"]
    (kustomization,) = documents(EXAMPLES / "accounts" / "kustomization.yaml")
    (generated,) = kustomization["configMapGenerator"]
    (name,) = generated["files"]
    (container,) = job["containers"]
    volumes = {volume["name"]: volume for volume in job["volumes"]}
    assert volumes["queues"]["configMap"]["name"] == generated["name"]
    assert container["command"][2] == f"/etc/job-queues/{name}"
    problems = []
    path = str(EXAMPLES / "accounts" / name)
    wishes = read_wishes(path, problems=problems)
    assert (problems, len(wishes.queues)) == ([], 1)


# --- kustomizations ------------------------------------------------------------


def test_manifests_are_each_in_one_kustomization():
    listed = [
        directory / resource
        for directory in KUSTOMIZATIONS
        for resource in documents(directory / "kustomization.yaml")[0]["resources"]
    ]
    assert sorted(listed) == manifest_files()


# --- renewal without the operator ----------------------------------------------


class Vault(BaseHTTPRequestHandler):
    """Vault's KV version 2 with Kubernetes logins, as far as the script uses it."""

    def do_GET(self):
        assert self.headers["X-Vault-Token"] == "vault-token"
        held = self.server.held.get(self.path)
        self.answer(200 if held else 404, {"data": held} if held else {"errors": []})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.redirect:
            assert self.path != "/stolen"
            self.send_response(307)
            self.send_header("Location", self.server.redirect)
            self.end_headers()
            return
        if self.path == "/v1/auth/kubernetes/login":
            assert body == {"role": "nautobot-mtls", "jwt": "identity"}
            self.answer(200, {"auth": {"client_token": "vault-token"}})
            return
        assert self.headers["X-Vault-Token"] == "vault-token"
        self.server.held[self.path] = body
        self.server.stored.append(body["data"])
        self.answer(200, {"data": {"version": 1}})

    def answer(self, status, body):
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments):
        """Say nothing."""


@pytest.fixture
def vault(tmp_path):
    authority = Authority()
    mount = write_mount(
        tmp_path / "vault", authority.server("localhost"), authority.ca_pem
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), Vault) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(mount.certificate, mount.key)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.held, server.stored, server.redirect = {}, [], None
        server.ca = mount.ca
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def push(vault, directory, scheme="https"):
    return subprocess.run(
        [
            sys.executable,
            str(EXAMPLES / "renewal-cronjob" / "push_certificate.py"),
            str(directory),
            "nautobot-mtls-client-example-site",
        ],
        env={
            "VAULT_ADDR": f"{scheme}://localhost:{vault.server_port}",
            "VAULT_CACERT": vault.ca,
            "VAULT_ROLE": "nautobot-mtls",
            "IDENTITY_FILE": str(directory / "token"),
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_cronjob_with_http_or_redirect_sends_no_identity(vault, tmp_path, scheme):
    """Neither over plain HTTP, nor to where a redirect points."""
    for name in ("token", "tls.crt", "tls.key"):
        (tmp_path / name).write_text("identity")
    vault.redirect = f"https://localhost:{vault.server_port}/stolen"
    done = push(vault, tmp_path, scheme)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "VAULT_ADDR has to begin with https://\n"
        if scheme == "http"
        else "Vault answers POST auth/kubernetes/login with 307\n"
    )
    assert vault.stored == []


def test_cronjob_stores_certificate_only_after_a_change(vault, tmp_path):
    (tmp_path / "token").write_text("identity\n")
    (tmp_path / "tls.crt").write_text("certificate\n")
    (tmp_path / "tls.key").write_text("key\n")
    name = "nautobot-mtls-client-example-site"
    assert push(vault, tmp_path).stdout == f"{name}: stored\n"
    assert push(vault, tmp_path).stdout == f"{name}: unchanged\n"
    (tmp_path / "tls.crt").write_text("renewed\n")
    assert push(vault, tmp_path).stdout == f"{name}: stored\n"
    assert vault.stored == [
        {"password": "certificate\nkey\n"},
        {"password": "renewed\nkey\n"},
    ]


def test_cronjob_runs_the_script_of_its_config_map():
    directory = EXAMPLES / "renewal-cronjob"
    (kustomization,) = documents(directory / "kustomization.yaml")
    (generated,) = kustomization["configMapGenerator"]
    assert all((directory / name).is_file() for name in generated["files"])
    spec = one("CronJob", "push-certificate")["spec"]["jobTemplate"]["spec"]["template"]
    (container,) = spec["spec"]["containers"]
    volumes = {volume["name"]: volume for volume in spec["spec"]["volumes"]}
    assert volumes["script"]["configMap"]["name"] == generated["name"]
    assert container["command"][1] == f"/opt/push/{generated['files'][0]}"
    assert container["command"][2:] == [MOUNT, "nautobot-mtls-client-example-site"]
