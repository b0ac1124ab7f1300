"""The commands that `explain` prints, run by a shell with a pod's variables."""

import os
import pwd
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab import installation
from lab.certificates import write_mount
from lab.servers.gateway import Gateway
from lab.servers.gateway import Route
from lab.servers.listening import tls_context
from understack_nautobot_settings.commands.explain import commands_for
from understack_nautobot_settings.commands.reference import codes


def said_by(program, code, mount, env, number=0):
    """Run what `explain` prints for a code, and return what the program says."""
    (code,) = (one for one in codes() if one.id == code)
    found = [one for one in commands_for(code) if f"{program} " in one]
    command = found[number].replace("/etc/nautobot/mtls", str(mount.directory))
    paths = (installation.postgres(15), os.environ["PATH"])
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": os.pathsep.join(map(str, paths)), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def database_env(server, **more):
    return {
        "NAUTOBOT_DB_HOST": "localhost",
        "NAUTOBOT_DB_PORT": str(server.port),
        "NAUTOBOT_DB_NAME": "app",
        "NAUTOBOT_DB_USER": "app",
        **more,
    }


def test_explained_psql_reaches_the_port_of_the_variables(postgres15, mount):
    said = said_by("psql", "db-user-missing", mount, database_env(postgres15))

    assert "(1 row)" in said


def test_explained_psql_without_user_sends_the_name_of_the_system(postgres15, mount):
    """As Nautobot does; an empty word must not swallow the sslmode behind it."""
    env = database_env(postgres15, NAUTOBOT_DB_USER="")

    said = said_by("psql", "db-user-missing", mount, env)

    user = pwd.getpwuid(os.geteuid()).pw_name
    assert said.endswith(f'certificate authentication failed for user "{user}"\n')


@pytest.mark.parametrize("number", [0, 1], ids=["database", "redis"])
def test_explained_openssl_presents_what_stands_behind_the_certificate(
    authority, tmp_path, number
):
    mount = write_mount(
        tmp_path, authority.intermediate("between").issue(), authority.ca_pem
    )
    context = tls_context(authority.server(), clients=authority.ca_pem)
    with socket.create_server(("localhost", 0)) as listening:
        port = str(listening.getsockname()[1])
        env = {
            f"NAUTOBOT_{name}": value
            for one in ("DB", "REDIS")
            for name, value in ((f"{one}_HOST", "localhost"), (f"{one}_PORT", port))
        }
        with ThreadPoolExecutor() as pool:
            said = pool.submit(
                said_by, "s_client", "probe-client-ca", mount, env, number
            )
            connection, _ = listening.accept()
            with context.wrap_socket(connection, server_side=True) as accepted:
                subject = accepted.getpeercert()["subject"]
            said.result()

    assert subject == ((("commonName", "app"),),)


@pytest.mark.parametrize("code", ["probe-redis-auth", "redis-path-unused"])
def test_explained_redis_cli_passes_a_gateway_and_logs_in(redis_server, mount, code):
    with Gateway(redis=Route(redis_server.port)) as gateway:
        env = {
            "NAUTOBOT_REDIS_HOST": "localhost",
            "NAUTOBOT_REDIS_PORT": str(gateway.port("redis")),
            "NAUTOBOT_REDIS_PASSWORD": redis_server.password,
        }

        assert said_by("redis-cli", code, mount, env) == "PONG\n"
