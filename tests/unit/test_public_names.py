"""The names that settings files import."""

import subprocess
import sys

import pytest

import understack_nautobot_settings as package


@pytest.mark.parametrize("name", package.__all__)
def test_public_name_is_the_object_of_its_module(name):
    module = sys.modules[getattr(package, name).__module__]

    assert module.__name__.startswith(f"{package.__name__}.")
    assert getattr(package, name) is getattr(module, name)


def test_public_names_are_listed_before_they_are_imported():
    assert package.__all__ == sorted(package.__all__)
    assert set(package.__all__) <= set(dir(package))


def test_star_imports_every_public_name():
    names = {}
    exec(f"from {package.__name__} import *", names)

    assert set(package.__all__) <= set(names)


def test_unknown_name_raises_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'configurate'"):
        package.configurate  # noqa: B018


def test_no_module_has_the_name_of_a_public_function():
    """No module has the name of a public function, which it would hide."""
    modules = {name.rpartition(".")[2] for name in package._MODULES.values()}

    assert modules.isdisjoint(package.__all__)


def test_package_import_loads_no_fragment():
    script = (
        f"import sys, {package.__name__} as package\n"
        "start = package.__name__ + '.'\n"
        "print([name for name in sys.modules if name.startswith(start)])"
    )
    process = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert process.stdout == "[]\n"
