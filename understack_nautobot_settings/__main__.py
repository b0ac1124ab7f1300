"""``python -m understack_nautobot_settings``, the command line."""

from __future__ import annotations

from understack_nautobot_settings.cli import run

if __name__ == "__main__":
    run()
