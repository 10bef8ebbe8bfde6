"""What setup.py says about the native library: built, left out, or impossible."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def setup(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "LRAM_ROS_INTERFACES": "off", **variables}
    return subprocess.run(
        [sys.executable, "setup.py", "build", "--build-base", str(tmp_path)],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )


def test_it_can_be_left_out(tmp_path: Path) -> None:
    done = setup(tmp_path, LRAM_NATIVE="off")
    assert done.returncode == 0, done.stderr
    assert "lram_ros: no native library, models run on PyTorch" in done.stderr.splitlines()


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"LRAM_NATIVE": "maybe"}, "LRAM_NATIVE is 'maybe'; expected on, off or auto"),
        ({"LRAM_NATIVE": "on", "PATH": "/nonexistent", "CC": ""}, "no C compiler (cc, gcc, clang)"),
        ({"LRAM_NATIVE": "on", "CC": "false"}, "cannot build the native library with false"),
    ],
)
def test_it_is_an_error_where_it_was_asked_for(
    tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    done = setup(tmp_path, **variables)
    assert done.returncode != 0
    assert said in done.stderr


def test_a_compiler_that_fails_leaves_it_out(tmp_path: Path) -> None:
    done = setup(tmp_path, LRAM_NATIVE="auto", CC="false")
    assert done.returncode == 0, done.stderr
    assert "lram_ros: no native library, false failed" in done.stderr
