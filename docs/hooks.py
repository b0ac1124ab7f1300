"""Writes examples, and the help of commands, where the pages ask for them."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

from understack_nautobot_settings.commands.main import PROGRAM
from understack_nautobot_settings.commands.main import main

ROOT = Path(__file__).parent.parent

# Material's search runs in a worker, which a browser does not start from a file.
_WORKER = "assets/javascripts/worker.js"
_FROM_DISK = """if (location.protocol === "file:") {
  const source = URL.createObjectURL(new Blob([%s]));
  window.Worker = class extends Worker { constructor() { super(source); } };
}
"""

_WANTED = re.compile(r"^::: (help|file) (\S+)$", re.MULTILINE)


def on_config(config: Any) -> None:
    """Start the search from disk by a script of ours, not by one from elsewhere."""
    config.extra["polyfills"] = [_WORKER]


def on_post_build(config: Any) -> None:
    """Write that script, with the source of the worker in it."""
    site = Path(config.site_dir)
    (worker,) = site.glob("assets/javascripts/workers/search.*.js")
    source = json.dumps(worker.read_text(encoding="utf-8"))
    (site / _WORKER).write_text(_FROM_DISK % source, encoding="utf-8")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Replace ``::: help COMMAND`` by its help, and ``::: file PATH`` by the file."""
    if page.file.src_uri == "reference/problems.md":
        # Generated, with a section for each code: too many to list beside it.
        page.meta |= {"hide": ["toc"], "search": {"boost": 4}}
    write = {"help": _help, "file": _file}
    return _WANTED.sub(lambda match: write[match[1]](match[2]), markdown)


def _file(path: str) -> str:
    text = (ROOT / path).read_text(encoding="utf-8")
    return f"```python\n{text}```"


def _help(command: str) -> str:
    stdout = io.StringIO()
    words = [] if command == "overview" else [command]
    status = main([*words, "--help"], {}, stdout=stdout)
    if status != 0:
        raise ValueError(f"{PROGRAM} {command} --help ends with {status}")
    return f"```text\n{stdout.getvalue()}```"
