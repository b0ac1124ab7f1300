"""The main job: Nautobot runs a job of its own over mutual TLS."""

from __future__ import annotations

import re
import urllib.request

import pytest

from lab.nautobot.deployment import recorded_sessions
from lab.nautobot.deployment import startup_line

PLUGINS = ["nautobot_plugin_nornir", "nautobot_golden_config"]


@pytest.fixture(scope="session")
def result(site):
    """What Nautobot says about a job that ran on the queue of the partition."""
    return site.web.run_job(site.partition)


def test_job_of_site_worker_succeeds(site, result):
    """Submitted from a web pod, run by the worker of the site, stored as SUCCESS."""
    assert result["traceback"] is None
    assert result["statuses"] == ["SUCCESS"]
    assert len(result["workers"]) == 1
    assert "run_job" in site.worker.output


def test_worker_certificate_is_seen_by_the_database(site, result):
    """The session that stored the result was encrypted and came in as CN=app."""
    assert result["statuses"] == ["SUCCESS"]
    (session,) = {
        (
            one["application_name"],
            one["user"],
            one["ssl"],
            one["version"],
            one["client_dn"],
            one["issuer_dn"],
            one["client_serial"],
        )
        for one in recorded_sessions(site.postgres)
    }
    assert session == (
        f"nautobot-site-worker@{site.partition}",
        "app",
        True,
        "TLSv1.3",
        "/CN=app",
        "/CN=understack-mtls-ca",
        site.leaf.serial,
    )


def test_banner_of_the_worker_shows_the_broker_and_no_class_of_ours(site):
    (shown,) = re.findall(r"transport:\s+(\S+)", site.worker.output)

    assert re.fullmatch(r"rediss://(:\*\*@)?localhost:\d+/\d+", shown)


def test_worker_connections_use_the_tls_port_of_redis(site):
    """Broker, results and cache: every connection of the worker is one of these."""
    ports = site.worker.tcp_ports
    commands = {
        client["cmd"]
        for client in site.redis.sessions()
        if int(client["addr"].rpartition(":")[2]) in ports
    }
    assert "brpop" in commands
    with site.redis.admin() as admin:
        assert admin.config_get("port", "tls-auth-clients") == {
            "port": "0",
            "tls-auth-clients": "yes",
        }


def test_plugins_and_partition_match_the_documents(site, result):
    """The defaults are loaded, and the partition is a Django setting."""
    assert result["plugins"] == PLUGINS
    assert result["partition"] == site.partition


@pytest.mark.parametrize("secret", ["p/a#s?s[w]o%41rd", "lab" * 20])
def test_worker_logs_no_secret(site, secret):
    """Neither the worker nor what it says at start-up."""
    assert secret not in site.worker.output


def test_worker_and_web_log_the_startup_line(site):
    """One line in each log, although Django configures logging later."""
    with site.web.web() as (web, port):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/login/") as page:
            assert page.status == 200
        lines = {startup_line(web), startup_line(site.worker)}
        logs = (web.output, site.worker.output)
    assert [log.count("PostgreSQL sslmode=") for log in logs] == [1, 1]
    assert len(lines) == 1
    (line,) = lines
    names = ", ".join(PLUGINS)
    assert line.startswith("PostgreSQL sslmode=verify-full ")
    mode = "Redis mTLS on, server certificate required"
    assert f"; cache: {mode}; broker: {mode}; plugins {names};" in line
    assert f"partition {site.partition};" in line
