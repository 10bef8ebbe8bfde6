"""The native runtime beside other threads, in a forked process, and on a single CPU."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.native import NativeRuntime
from lram_core.testing import small_model

TICKING = """
import os, sys, threading, time
import numpy as np
from lram_core.action_model import ActionModel, ModelConfig
from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.native import NativeRuntime

model = ActionModel(ModelConfig(3, 2, 20, "xlstm", {"d_model": 256, "num_layers": 8}))
runtime = NativeRuntime(model, RuntimeOptions(threads=2))

def tick():
    runtime.tokenise(np.zeros(3, np.float32), 0.5, 0.1)
    return runtime.step()

tick()
"""


def in_a_process(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TICKING + code], capture_output=True, text=True, timeout=60
    )


def test_a_process_ends_while_a_daemon_thread_ticks() -> None:
    done = in_a_process(
        """
def forever():
    while True:
        tick()
threading.Thread(target=forever, daemon=True).start()
time.sleep(0.2)
"""
    )
    assert done.returncode == 0, done.stderr


def test_a_forked_process_ticks_on_one_thread_and_lets_go() -> None:
    """Forked while the second thread spins, and while it sleeps."""
    done = in_a_process(
        """
alone = NativeRuntime(model)

def child():
    global runtime
    runtime.reset()
    alone.reset()
    for _ in range(50):
        tick()
        alone.tokenise(np.zeros(3, np.float32), 0.5, 0.1)
        alone.step()
    same = (runtime.logits == alone.logits).all()
    del runtime
    os._exit(0 if same else 1)

def ended(pid):
    for _ in range(400):
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(pid, 9)
    return "the child hangs"

for pause in (0.0, 0.2):
    tick()
    time.sleep(pause)
    pid = os.fork()
    if pid == 0:
        child()
    code = ended(pid)
    if code:
        sys.exit(code)
"""
    )
    assert done.returncode == 0, done.stderr


def test_two_threads_on_one_cpu_are_one(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})
    assert NativeRuntime(small_model(), RuntimeOptions(threads=2)).describe().endswith("1 thread)")
    assert "threads = 2 on one CPU; one thread is used" in caplog.text
