"""The kernel library's C sources under the address, undefined-behaviour and thread sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from lram_core.native.library import ISAS

ROOT = Path(__file__).parents[1]
SOURCES = [
    *sorted((ROOT / "lram_core" / "native" / "src").glob("*.c")),
    ROOT / "tests" / "native" / "driver.c",
]


def build(folder: Path, sanitizers: str) -> Path:
    compiler = next(filter(shutil.which, [os.environ.get("CC", "cc"), "cc", "gcc", "clang"]))
    target = folder / "driver"
    done = subprocess.run(
        [
            *(compiler, "-std=gnu11", "-O0", "-g1", "-pthread", "-Wall", "-Wextra", "-Werror"),
            *(f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all"),
            *(*map(str, SOURCES), "-o", str(target), "-lm"),
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return target


def run(driver: Path, isa: str) -> bool:
    """Whether this CPU has that instruction set; fails where a sanitizer found something."""
    done = subprocess.run([driver, isa], capture_output=True, text=True, timeout=120)
    assert done.returncode in (0, 3), done.stdout[-1000:] + done.stderr[-3000:]
    return done.returncode == 0


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("native"), "address,undefined")


def test_random_models_touch_no_memory_but_their_own(driver: Path) -> None:
    ran = [isa for isa in ISAS if run(driver, isa)]
    assert "portable" in ran


def test_two_threads_race_for_nothing(tmp_path: Path) -> None:
    assert run(build(tmp_path, "thread"), "portable")
