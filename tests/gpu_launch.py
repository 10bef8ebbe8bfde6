"""Kernels compiled for an H200 as they are launched there, but for the launch itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# The interpreter sees neither types nor layouts: what a GPU's compiler refuses passes there.
PRELUDE = """
import sys
import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from triton.runtime.jit import JITFunction

class H200:
    get_current_target = lambda self: GPUTarget("cuda", 90, 32)
    get_current_device = get_current_stream = lambda self, *_: 0

def launch(self, *args, grid, warmup, **options):
    made = plain(self, *args, grid=grid, warmup=True, **options)
    assert made.asm["cubin"]
    assert made.metadata.shared <= 227 * 1024  # what a program can have
    print(self.fn.__name__)

driver.set_active(H200())
plain, JITFunction.run = JITFunction.run, launch
"""


def compiled_kernels(program: str, cache: Path, *arguments: object) -> list[str]:
    """Run a program with ``sys.argv[1:]``; returns the names of the kernels that it launches."""
    environment = {**os.environ, "TRITON_CACHE_DIR": str(cache)}
    environment.pop("TRITON_INTERPRET", None)
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + program, *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()
