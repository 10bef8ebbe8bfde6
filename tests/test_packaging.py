"""What colcon is told exists: executables and interfaces."""

from __future__ import annotations

import ast
import importlib
import re
import stat
from pathlib import Path

import pytest

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
