"""``python -m understack_nautobot_settings``, the command line."""

from __future__ import annotations

import sys

from understack_nautobot_settings.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
