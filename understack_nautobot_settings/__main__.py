"""``python -m understack_nautobot_settings``, the command line."""

from understack_nautobot_settings.commands.main import run

if __name__ == "__main__":
    run()
