"""The one call of a ``nautobot_config.py``."""

import os
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import MutableMapping
from typing import Any

from understack_nautobot_settings.certificates.files import ClientFiles
from understack_nautobot_settings.certificates.files import ReadOnce
from understack_nautobot_settings.checks.in_force import decided_settings
from understack_nautobot_settings.checks.start_up import CONFIGURE_LOGGING
from understack_nautobot_settings.checks.start_up import last_start
from understack_nautobot_settings.checks.start_up import look_again_later
from understack_nautobot_settings.checks.start_up import note_environment
from understack_nautobot_settings.evaluation import evaluate
from understack_nautobot_settings.fragments.codes import FILE_OVERRULED
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import settings_error


def configure(
    namespace: MutableMapping[str, Any],
    env: Mapping[str, str] = os.environ,
    *,
    check_files: Callable[[ClientFiles], list[Problem]] | None = None,
) -> None:
    """Configure Nautobot: the one call of a ``nautobot_config.py``.

    Updates the namespace with the settings of every fragment, or raises one
    error that lists every problem and leaves the namespace as it was. Values are
    replaced, never changed in place, so ``nautobot.core.settings`` stays as
    Nautobot ships it. Running it twice gives the same result.

    The call goes last in the file. When the whole file has run the settings are
    looked at again: the start is refused where TLS that was decided is not in force,
    any other decided value that was replaced is a warning. Then a line that states
    the mode, and every warning, is logged once.

    Args:
        namespace: The settings module, ``globals()``; any mapping will do.
        env: The environment.
        check_files: Judges the certificate files that the active modes use; None
            for `check_certificates`.

    Raises:
        MissingFileError: A certificate file is missing (a ``FileNotFoundError``).
        SettingsError: Anything else is wrong; a ``ValueError``.
    """
    note_environment(env)
    read = ReadOnce()
    evaluation = evaluate(namespace, env, check_files=check_files, read=read)
    refusal = settings_error(evaluation.problems)
    if refusal is not None:
        # Whoever reports the locals of a traceback would report its secrets.
        del evaluation, read
        raise refusal
    start, earlier, warnings = last_start(), None, evaluation.problems
    # A file may take over the names of another one that has called.
    if start is not None and namespace.get("LOGGING_CONFIG") == CONFIGURE_LOGGING:
        earlier = start.decided
        # This call does not see any more what that one overruled.
        kept = [one for one in start.warnings if one.code == FILE_OVERRULED.id]
        warnings = [*dict.fromkeys([*kept, *warnings])]
    decided = decided_settings(namespace, evaluation.settings, env, earlier)
    namespace.update(evaluation.settings)
    look_again_later(namespace, decided, warnings, read)
