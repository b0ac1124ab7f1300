"""A settings file, loaded as ``nautobot-server`` does."""

import os
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from contextlib import redirect_stdout
from importlib import import_module
from traceback import walk_tb
from types import ModuleType
from typing import Any
from typing import NamedTuple

from understack_nautobot_settings.checks import codes
from understack_nautobot_settings.checks.in_force import Decisions
from understack_nautobot_settings.checks.in_force import check_in_force
from understack_nautobot_settings.checks.in_force import connection_modes
from understack_nautobot_settings.checks.in_force import decided_settings
from understack_nautobot_settings.checks.nautobot_base import no_files
from understack_nautobot_settings.checks.start_up import forget_start
from understack_nautobot_settings.checks.start_up import last_environment
from understack_nautobot_settings.checks.start_up import last_start
from understack_nautobot_settings.environment import variables
from understack_nautobot_settings.environment.kinds import echo
from understack_nautobot_settings.environment.kinds import one_of
from understack_nautobot_settings.environment.merging import layered
from understack_nautobot_settings.evaluation import evaluate
from understack_nautobot_settings.problems import ERROR
from understack_nautobot_settings.problems import Problem
from understack_nautobot_settings.problems import SettingsError
from understack_nautobot_settings.text_files import CONFIGURATION_BYTES
from understack_nautobot_settings.text_files import FileRefused
from understack_nautobot_settings.text_files import read_bytes

_MODULE = "nautobot_config"


class SettingsFileError(Exception):
    """The file cannot be loaded; the text says why, without any value of it."""


class SettingsFile(NamedTuple):
    """What a settings file makes.

    Attributes:
        path: The file.
        settings: Every setting, as Django gets it; as far as the file came.
        base: ``nautobot.core.settings`` as it was before the file ran.
        decided: What `configure` decided, None for a file that does not call it.
        problems: What `configure` found, and what the file undid after the call; or
            that there is none.
        written: Every setting as the file left it, before Nautobot and its apps add
            theirs; as far as the file came.
        env: The environment as the file left it, or gave it to `configure`.
    """

    path: str
    settings: dict[str, Any]
    base: dict[str, Any]
    decided: Decisions | None
    problems: list[Problem]
    written: dict[str, Any]
    env: Mapping[str, str] = {}


def load_settings_file(
    path: str, env: Mapping[str, str] = os.environ, *, with_files: bool = True
) -> SettingsFile:
    """Load a settings file into this process, which needs Nautobot.

    Like ``nautobot-server`` it makes the directories that Nautobot stores files in.
    What the file prints goes to standard error. `with_files` is False where
    certificates and secrets are not mounted.

    Raises:
        SettingsFileError: Nautobot or the file cannot be loaded.
    """
    try:
        read_bytes(path, CONFIGURATION_BYTES)
    except FileRefused as error:
        raise SettingsFileError(
            f"{path} {error.words}. Name the settings file of the deployment, "
            "nautobot_config.py."
        ) from None
    forget_start()
    refused = None
    with _environment(env), redirect_stdout(sys.stderr):
        check = "'check' without --config"
        base = layered(settings_of(vars(nautobot_module("settings", check))))
        cli = nautobot_module("cli", check)
        try:
            with _written(cli) as written:
                cli.load_settings(os.path.abspath(path))
        except SettingsError as error:
            refused = error
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a file may also end the process
            raise SettingsFileError(_raised_at(error, path)) from None
        settings = settings_of(vars(sys.modules[_MODULE]))
        written = written or dict(settings)
        start, given = last_start(), last_environment()
        env = os.environ if given is None else given
        decided: Decisions | None = None
        if start is not None:
            # Here, where the environment is as the file left it.
            decided = start.decided
            problems = [*start.warnings, *check_in_force(settings, decided)]
            if refused and with_files:
                # By a second call.
                problems += refused.problems
        elif refused or given is not None:
            check_files = None if with_files else no_files
            made, problems = evaluate(settings, env, check_files=check_files)
            if refused:
                # What `configure` would have made, had it not refused.
                decided = decided_settings(settings, made, env)
                settings |= made
        else:
            problems = [_not_called(path, settings)]
        return SettingsFile(path, settings, base, decided, problems, written, dict(env))


def _not_called(path: str, settings: dict[str, Any]) -> Problem:
    """Return what is wrong with a file that does not call `configure`.

    An error where a connection goes without the TLS that it would get.
    """
    made, _ = evaluate(settings, check_files=no_files)
    secured, wanted = (
        [one.connection for one in connection_modes(found) if one.is_secured]
        for found in (settings, {**settings, **made})
    )
    lost = [one for one in wanted if one not in secured]
    fact = f"{path} does not call it."
    if not lost:
        return codes.CONFIGURE_NOT_CALLED.problem("configure", fact)
    fact = f"{path} does not call it, so TLS is not required for {one_of(lost, 'and')}."
    hint = "Call configure(globals()) in the last line of the settings file."
    if not all(one.startswith("database") for one in lost):
        # A file may call the function of PostgreSQL alone, where a CA is mounted.
        hint += f" For a Redis without TLS set {variables.REDIS_MTLS.name}=off."
    problem = codes.CONFIGURE_NOT_CALLED.problem("configure", fact, hint)
    return problem._replace(severity=ERROR)


def nautobot_module(name: str, check: str) -> ModuleType:
    """Return a module of ``nautobot.core``.

    Raises:
        SettingsFileError: It cannot be imported; the text names the command `check`.
    """
    try:
        return import_module(f"nautobot.core.{name}")
    except ImportError:
        raise SettingsFileError(
            "Nautobot cannot be imported here. Run this in the Nautobot image."
        ) from None
    except Exception as error:  # noqa: BLE001 - its text may hold a value
        raised, why = type(error).__name__, f"{check} tells why"
        if isinstance(error, OSError):
            # No value: the system, such as a root that is read-only.
            raised += f": {os.strerror(error.errno or 0)}"
            why = "check NAUTOBOT_ROOT, HOME and the directory for temporary files"
        raise SettingsFileError(
            f"Nautobot's own settings raise {raised}; {why}."
        ) from None


def nautobot_settings(env: Mapping[str, str]) -> dict[str, Any]:
    """Return ``nautobot.core.settings`` as it is in an environment.

    Raises:
        SettingsFileError: It cannot be imported.
    """
    with _environment(env):
        return settings_of(vars(nautobot_module("settings", "'check'")))


def settings_of(namespace: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of the names of a module is a setting."""
    return {
        name: value
        for name, value in namespace.items()
        if name.isupper() and name != "SETTINGS_PATH"
    }


@contextmanager
def _written(cli: ModuleType) -> Iterator[dict[str, Any]]:
    """Yield what will be every setting of the file when it has run.

    Empty with a Nautobot that adds its own in another function.
    """
    written: dict[str, Any] = {}
    name = "_preprocess_settings"
    preprocess = getattr(cli, name, lambda *_: None)

    def keep(module: ModuleType, *rest: Any) -> None:
        written.update(layered(settings_of(vars(module))))
        preprocess(module, *rest)

    vars(cli)[name] = keep
    try:
        yield written
    finally:
        vars(cli)[name] = preprocess


@contextmanager
def _environment(env: Mapping[str, str]) -> Iterator[None]:
    """Be a process of ``nautobot-server`` in this environment."""
    before, words = dict(os.environ), sys.argv
    sys.argv = ["nautobot-server", "check"]
    if env is not os.environ:
        os.environ.clear()
        os.environ.update(env)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", _MODULE)
    try:
        yield
    finally:
        sys.argv = words
        os.environ.clear()
        os.environ.update(before)


def _raised_at(error: BaseException, path: str) -> str:
    """Return which line raised what, in the file or elsewhere, without its text."""
    here = os.path.abspath(path)
    stack = [*walk_tb(error.__traceback__)]
    # A local variable where Nautobot loads a plugin.
    names = (frame.f_locals.get("plugin_name") for frame, _ in stack)
    plugin = next(filter(None, names), None)
    places = [(frame.f_code.co_filename, line) for frame, line in stack]
    if isinstance(error, SyntaxError):
        places.append((error.filename or here, error.lineno or 0))
    lines = [line for file, line in places if file == here]
    what = f"the plugin {echo(str(plugin))}" if plugin else "it"
    where, elsewhere = f"what Nautobot makes of {what}", ""
    if lines:
        where = f"line {lines[-1]}"
    elif places:
        elsewhere = " (line {1} of {0})".format(*places[-1])
    return (
        f"{path}: {where} raises {type(error).__name__}{elsewhere}, whose text is not "
        "shown since it may hold a secret. To see it: nautobot-server --config-path "
        f"{path} check"
    )
