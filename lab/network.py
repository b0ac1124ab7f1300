"""A site at the end of a wire that forgets: two network namespaces of our own.

`inside` starts a program in the namespace of the global cluster, where servers listen
on loopback as ever. A `Site` is a second namespace at the other end of a veth pair; it
finds the servers under the name ``localhost``, and its flows can be forgotten: their
packets vanish silently, as in a NAT table, a firewall or a load balancer that
was restarted. New connections work. Needs root, `ip` and `nft`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal
from typing import NamedTuple

from lab.installation import MissingProgram
from lab.installation import system_program

GLOBAL_ADDRESS = "10.77.0.1"
SITE_ADDRESS = "10.77.0.2"
Direction = Literal["both", "in", "out"]
# Whoever comes in over the wire meets what listens on loopback.
TO_LOOPBACK = f"""
add table ip lab
add chain ip lab arriving {{ type nat hook prerouting priority -100; }}
add rule ip lab arriving ip daddr {GLOBAL_ADDRESS} dnat to 127.0.0.1
"""
FORGETTING = """
add table ip lab
add set ip lab sent { type inet_service; }
add set ip lab received { type inet_service; }
add chain ip lab leaving { type filter hook output priority 0; }
add chain ip lab arriving { type filter hook input priority 0; }
add rule ip lab leaving tcp sport @sent drop
add rule ip lab arriving tcp dport @received drop
"""
# New flows get other ports.
RESERVING = """
file=/proc/sys/net/ipv4/ip_local_reserved_ports
before=$(cat $file)
echo "${before:+$before,}$1" > $file
"""


class Site(NamedTuple):
    """The far end of the wire.

    Attributes:
        name: Of its namespace.
        python: A program that runs this Python there.
    """

    name: str
    python: Path

    def forget(self, ports: Iterable[int], direction: Direction = "both") -> None:
        """Drop what belongs to flows from these ports of the site, seen from there."""
        elements = ",".join(map(str, sorted(ports)))
        for name, one_way in (("sent", "out"), ("received", "in")):
            if direction in {"both", one_way}:
                _nft(self.name, f"add element ip lab {name} {{ {elements} }}")
        # A NAT table would let a new flow from the same port through.
        _run([*inside(self.name), "sh", "-c", RESERVING, "sh", elements])


@contextmanager
def cluster() -> Iterator[str]:
    """Make the namespace of the global cluster; yields its name.

    Raises:
        MissingProgram: Without root, `ip` or `nft` there is no namespace.
    """
    if os.geteuid() != 0:
        raise MissingProgram("Network namespaces need root. Run this as root.")
    for program, package in (("ip", "iproute2"), ("nft", "nftables")):
        system_program(program, package)
    name = f"lab-{os.getpid()}-global"
    with _namespace(name):
        yield name


def inside(name: str) -> list[str]:
    """Return what goes before a command so that it runs in a namespace."""
    return ["ip", "netns", "exec", name]


@contextmanager
def site(directory: Path, cluster_name: str) -> Iterator[Site]:
    """Make the namespace of a site at the end of a wire from the cluster's.

    Args:
        directory: Where its program goes.
        cluster_name: From `cluster`.
    """
    name = f"lab-{os.getpid()}-site"
    hosts = Path("/etc/netns", name, "hosts")
    with _namespace(name), contextlib.ExitStack() as stack:
        ends = (cluster_name, f"g{os.getpid()}"), (name, f"s{os.getpid()}")
        (near, near_end), (far, far_end) = ends
        _ip(
            *("link", "add", near_end, "netns", near),
            *("type", "veth", "peer", "name", far_end, "netns", far),
        )
        for (where, end), address in zip(
            ends, (GLOBAL_ADDRESS, SITE_ADDRESS), strict=True
        ):
            _ip("-n", where, "addr", "add", f"{address}/24", "dev", end)
            _ip("-n", where, "link", "set", end, "up")
        route = "echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet"
        subprocess.run([*inside(near), "sh", "-c", route], check=True)
        _nft(near, TO_LOOPBACK)
        _nft(far, FORGETTING)
        stack.callback(shutil.rmtree, hosts.parent, ignore_errors=True)
        hosts.parent.mkdir(parents=True)
        hosts.write_text(f"{GLOBAL_ADDRESS} localhost\n")
        python = directory / "site-python"
        python.write_text(
            f'#!/bin/sh\nexec {" ".join(inside(name))} {sys.executable} "$@"\n'
        )
        python.chmod(0o755)
        yield Site(name, python)


@contextmanager
def _namespace(name: str) -> Iterator[None]:
    _ip("netns", "add", name)
    try:
        _ip("-n", name, "link", "set", "lo", "up")
        yield
    finally:
        _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _nft(name: str, rules: str) -> None:
    _run([*inside(name), "nft", "--file", "-"], rules)


def _run(command: list[str], text: str = "") -> None:
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise MissingProgram(
            f"{' '.join(command)} failed, so there is no network namespace: "
            f"{done.stderr.strip()}"
        )
