"""Wishes to the kernel: granted and in force, or refused in one line; never an exception.

What this user may do is found out first, in a process of its own, and the answer expected by that.
Then the same is tried in a process that has given up every right.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys

import pytest

from lram_core.errors import CommandError
from lram_ros import realtime
from lram_ros.realtime import RealtimeSettings

PERMITTED = """
import ctypes, json, os, resource
libc = ctypes.CDLL(None)
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    fifo = True
except OSError:
    fifo = False
caps = next(l for l in open("/proc/self/status") if l.startswith("CapEff"))
ipc = bool(int(caps.split()[1], 16) >> 14 & 1)
unlimited = resource.getrlimit(resource.RLIMIT_MEMLOCK)[1] == resource.RLIM_INFINITY
print(json.dumps([fifo, (ipc or unlimited) and libc.mlockall(3) == 0]))
"""
TRY = """
import json, os, sys, threading
from lram_ros import realtime
from lram_ros.realtime import RealtimeSettings
drop, ask = sys.argv[1] == "drop", json.loads(sys.argv[2])
if drop:
    import resource
    resource.setrlimit(resource.RLIMIT_RTPRIO, (0, 0))
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (65536, 65536))
    if os.getuid() == 0:
        os.setuid(65534)
other = threading.Event()
thread = threading.Thread(target=other.wait)
thread.start()
warnings = realtime.apply(RealtimeSettings(**ask))
status = dict(l.split(":", 1) for l in open("/proc/self/status"))
print(json.dumps({
    "warnings": warnings,
    "own": [os.sched_getscheduler(0), os.sched_getparam(0).sched_priority],
    "other": [os.sched_getscheduler(thread.native_id),
              os.sched_getparam(thread.native_id).sched_priority],
    "locked_kB": int(status["VmLck"].split()[0]),
    "cpus": sorted(os.sched_getaffinity(0)),
    "switch": sys.getswitchinterval(),
}))
other.set()
"""


def run(code, *arguments):
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def asked(rights="keep", **settings):
    return run(TRY, rights, json.dumps(settings))


@pytest.fixture(scope="module")
def permitted():
    fifo, memory = run(PERMITTED)
    return {"fifo": fifo, "memory": memory}


def test_priority_is_in_force_or_refused_with_the_limit(permitted):
    found = asked(priority=50)
    if permitted["fifo"]:
        assert found["warnings"] == []
        assert found["own"] == [os.SCHED_FIFO, 50]
        # The others are just below: one that holds the interpreter must not be pushed aside.
        assert found["other"] == [os.SCHED_FIFO, 49]
    else:
        (warning,) = found["warnings"]
        assert "SCHED_FIFO priority 50: not permitted (rtprio limit" in warning
        assert found["own"][0] == os.SCHED_OTHER


def test_memory_is_locked_or_refused_with_the_limit(permitted):
    found = asked(lock_memory=True)
    if permitted["memory"]:
        assert found["warnings"] == []
        assert found["locked_kB"] > 1000
    else:
        (warning,) = found["warnings"]
        assert "memory not locked: " in warning
        assert found["locked_kB"] == 0


def test_without_rights_each_wish_is_one_warning():
    found = asked("drop", priority=50, lock_memory=True, cpus=[4096])
    assert found["own"] == [os.SCHED_OTHER, 0]
    assert found["other"] == [os.SCHED_OTHER, 0]
    assert found["locked_kB"] == 0
    assert len(found["warnings"]) == 3
    memory, pinned, fifo = found["warnings"]
    assert pinned.startswith("not pinned to CPU 4096: ")
    assert "this process may use" in pinned
    assert memory.startswith("memory not locked: not permitted (memlock limit")
    assert fifo.startswith("no SCHED_FIFO priority 50: not permitted (rtprio limit")
    assert all("\n" not in line for line in found["warnings"])


def test_pinning_is_in_force():
    cpu = max(os.sched_getaffinity(0))
    found = asked(cpus=[cpu])
    assert found["warnings"] == []
    assert found["cpus"] == [cpu]


def test_a_cpu_that_is_not_there_is_named():
    cpu = min(os.sched_getaffinity(0))
    found = asked(cpus=[cpu, 1000])
    assert found["cpus"] == [cpu]
    assert found["warnings"] == [f"pinned to CPU {cpu} alone: 1000 cannot be used"]


def test_nothing_asked_changes_nothing_but_the_interpreter():
    found = asked()
    assert found["warnings"] == []
    assert found["own"] == [os.SCHED_OTHER, 0]
    assert found["locked_kB"] == 0
    assert found["cpus"] == sorted(os.sched_getaffinity(0))
    assert found["switch"] == pytest.approx(0.0005)
    assert asked(switch_interval=0.0)["switch"] == pytest.approx(0.005)


def test_the_collector_is_frozen_and_thawed():
    before = gc.get_freeze_count()
    try:
        realtime.freeze_gc()
        assert not gc.isenabled()
        assert gc.get_freeze_count() > before
    finally:
        realtime.thaw_gc()
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"priority": 100}, "priority: expected 0 to 99, found 100"),
        ({"priority": -1}, "priority: expected 0 to 99, found -1"),
        ({"cpus": (0, -2)}, "cpus: expected numbers from 0, found 0, -2"),
        ({"switch_interval": -0.1}, "switch_interval: expected 0 to 1 s, found -0.1"),
    ],
)
def test_impossible_settings_are_refused(settings, named):
    with pytest.raises(CommandError, match=named):
        RealtimeSettings(**settings)
