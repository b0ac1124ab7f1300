"""The command line as a process, against an interpreter that does nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator

from benchmarks.deployment import mounted
from benchmarks.deployment import site_worker
from benchmarks.measuring import Usage
from benchmarks.measuring import instructions
from benchmarks.measuring import python_environment
from benchmarks.measuring import usage
from benchmarks.measuring import usages
from benchmarks.table import Figure
from benchmarks.table import Row
from benchmarks.table import compared
from benchmarks.table import within

# What an installed console script does.
COMMAND = (
    sys.executable,
    "-c",
    "import sys; from understack_nautobot_settings.commands.main import run; "
    "sys.exit(run())",
)
NOTHING = (sys.executable, "-c", "pass")
ROUNDS = 25
AT_MOST = 3.0
MEMORY = Figure(20, "MiB")
PASS = "python -c pass"


def rows() -> Iterator[Row]:
    """Measure CPU time and memory, and count instructions where valgrind is."""
    with mounted() as mount:
        environment = python_environment(
            **site_worker(mount), NAUTOBOT_DB_SSLNEGOTIATION="direct"
        )
        bare = python_environment(NAUTOBOT_SECRET_KEY="k" * 50)

        def check(env: dict[str, str], *arguments: str) -> Usage:
            # 0 and 1 are both answers; what the answer is, the tests say.
            return usage([*COMMAND, *arguments], env, statuses=(0, 1))

        answer = json.loads(check(environment, "check", "--json").output)
        assert len(answer["certificates"]) == 4, answer
        taken = usages(
            {
                "check": lambda: check(environment, "check"),
                "json": lambda: check(environment, "check", "--json"),
                "bare": lambda: check(bare, "check"),
                "show": lambda: check(environment, "show"),
                "pass": lambda: usage(NOTHING, environment),
            },
            ROUNDS,
        )
        nothing, _ = taken["pass"]
        cpu, memory = taken["check"]
        yield compared("check", cpu, PASS, nothing, at_most=AT_MOST)
        yield within("check, memory", memory, MEMORY)
        cpu, memory = taken["json"]
        yield compared("check --json", cpu, PASS, nothing, at_most=AT_MOST)
        yield within("check --json, memory", memory, MEMORY)
        cpu, _ = taken["bare"]
        yield compared("check, TLS off", cpu, PASS, nothing, at_most=AT_MOST)
        cpu, _ = taken["show"]
        yield compared("show", cpu, PASS, nothing)
        counted = [
            instructions([*COMMAND, "check"], environment),
            instructions(NOTHING, environment),
        ]
        if None not in counted:
            yield compared("check, instructions", counted[0], PASS, counted[1])
