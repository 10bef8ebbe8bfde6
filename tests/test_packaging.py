"""What colcon is told exists: executables and interfaces; what pip is told to install."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import stat
from email.message import Message
from importlib.metadata import Distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
CMAKE = (ROOT / "CMakeLists.txt").read_text()
SCRIPTS = sorted((ROOT / "scripts").iterdir())


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_start_what_exists(script):
    assert script.stat().st_mode & stat.S_IXUSR
    assert f"scripts/{script.name}\n" in CMAKE
    imported = ast.parse(script.read_text()).body[0]
    assert callable(getattr(importlib.import_module(imported.module), imported.names[0].name))


def test_all_interfaces_are_built():
    defined = {str(path.relative_to(ROOT)) for k in ("msg", "srv") for path in (ROOT / k).iterdir()}
    assert set(re.findall(r"(?:msg|srv)/\w+\.(?:msg|srv)", CMAKE)) == defined


class Installed(Distribution):
    """A distribution of which only the metadata is known."""

    def __init__(self, requires_python: str | None) -> None:
        self.told = Message()
        self.told["Name"], self.told["Version"] = "part", "2.0+local"
        if requires_python is not None:
            self.told["Requires-Python"] = requires_python

    metadata = property(lambda self: self.told)

    def read_text(self, filename):
        return None

    def locate_file(self, path):
        return Path(path)


@pytest.mark.parametrize(
    ("requires_python", "pinned_on"),
    [
        (None, {"3.10.0", "3.11.2", "3.11.7", "3.12.1"}),
        (">=3.8", {"3.10.0", "3.11.2", "3.11.7", "3.12.1"}),
        (">=3.11", {"3.11.2", "3.11.7", "3.12.1"}),
        (">=3.11.5", {"3.11.7", "3.12.1"}),
        (">=3.11.5,<3.12", {"3.11.7"}),
    ],
)
def test_a_pin_holds_for_the_pythons_that_can_have_it(requires_python, pinned_on):
    spec = importlib.util.spec_from_file_location("freeze", ROOT / "requirements" / "freeze.py")
    freeze = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(freeze)
    pin = Requirement(freeze.pin(Installed(requires_python)))
    assert (pin.name, str(pin.specifier)) == ("part", "==2.0")
    for python in ("3.10.0", "3.11.2", "3.11.7", "3.12.1"):
        minor = ".".join(python.split(".")[:2])
        asked = {"python_full_version": python, "python_version": minor}
        holds = pin.marker is None or pin.marker.evaluate(asked)
        assert holds == (python in pinned_on), python
