"""What every test relies on."""

from hypothesis import settings

from tests.examples import FULL

settings.load_profile("full" if FULL else "few")
