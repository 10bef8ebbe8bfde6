"""What Linux and Python can do for a steady loop: priority, locked memory, own CPUs, no collector.

Each function returns None when it was done, or one line that says why not: a loop without these
is less steady, not wrong, so the caller warns and goes on. Free of rclpy.

To be permitted: ``ulimit -r`` (rtprio) and ``ulimit -l unlimited`` (memlock) for the user in
``/etc/security/limits.conf``, or the capabilities CAP_SYS_NICE and CAP_IPC_LOCK.
"""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import resource
import sys
import threading
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from lram_core.errors import CommandError, listed

_MCL_CURRENT, _MCL_FUTURE = 1, 2
_CAP_IPC_LOCK = 14
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEEP_BYTES = 2**25 - 1  # of the two below; the most glibc accepts for the second
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class RealtimeSettings:
    """What to ask for; the defaults need no permission.

    Attributes:
        priority: SCHED_FIFO priority of the loop's thread, 1 to 99; 0 leaves the scheduling alone.
            The process's other threads get the priority below.
        lock_memory: keep all memory of the process in RAM, now and later.
        cpus: CPUs the loop's thread may use; empty for any.
        freeze_gc: no collection of cyclic garbage while the loop runs.
        switch_interval: longest time in seconds that another Python thread keeps the interpreter
            while the loop waits for it; 0 leaves Python's 5 ms.

    Raises:
        CommandError: a value is out of range.
    """

    priority: int = 0
    lock_memory: bool = False
    cpus: tuple[int, ...] = ()
    freeze_gc: bool = True
    switch_interval: float = 0.0005

    def __post_init__(self) -> None:
        if not 0 <= self.priority <= 99:
            raise CommandError(f"priority: expected 0 to 99, found {self.priority}")
        if any(cpu < 0 for cpu in self.cpus):
            raise CommandError(f"cpus: expected numbers from 0, found {listed(self.cpus)}")
        if not 0 <= self.switch_interval <= 1:
            raise CommandError(
                f"switch_interval: expected 0 to 1 s, found {self.switch_interval:g}"
            )


def apply(settings: RealtimeSettings) -> list[str]:
    """Ask for all of it at once: :func:`apply_to_process`, then :func:`apply_to_thread`."""
    return apply_to_process(settings) + apply_to_thread(settings)


def apply_to_process(settings: RealtimeSettings) -> list[str]:
    """Ask for what is the whole process's: the interpreter, memory, the collector.

    Call it when everything is loaded, before the loop starts: locking takes a second or two, and
    brings every library that is mapped into RAM (some 500 MB with PyTorch).

    Returns:
        A line for each wish that was not permitted; empty when all were.
    """
    if settings.switch_interval:
        sys.setswitchinterval(settings.switch_interval)
    refused = lock_memory() if settings.lock_memory else None
    if settings.freeze_gc:
        freeze_gc()
    return [] if refused is None else [refused]


def apply_to_thread(settings: RealtimeSettings) -> list[str]:
    """Ask for what is the loop's: its CPUs and the priority. Call it on the thread that ticks.

    Every other thread of the process should be there by now, see :func:`set_fifo`.

    Returns:
        As :func:`apply_to_process`.
    """
    refused = [
        pin(settings.cpus) if settings.cpus else None,
        set_fifo(settings.priority) if settings.priority else None,
    ]
    return [reason for reason in refused if reason is not None]


def set_fifo(priority: int) -> str | None:
    """Give the calling thread a SCHED_FIFO priority, and the process's other threads the next.

    The others too: one of normal priority that is pushed aside while it holds the Python
    interpreter would keep the loop waiting for as long as another process computes.
    """
    own = threading.get_native_id()
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
        for thread in map(int, os.listdir("/proc/self/task")):
            if thread != own:
                with suppress(ProcessLookupError):  # it has just ended
                    below = os.sched_param(max(1, priority - 1))
                    os.sched_setscheduler(thread, os.SCHED_FIFO, below)
    except PermissionError:
        limit = resource.getrlimit(resource.RLIMIT_RTPRIO)[0]
        return (
            f"no SCHED_FIFO priority {priority}: not permitted (rtprio limit {_shown(limit)}, "
            f"needs {priority} or CAP_SYS_NICE)"
        )
    except OSError as error:
        return f"no SCHED_FIFO priority {priority}: {error.strerror}"
    return None


def lock_memory() -> str | None:
    """Keep the process's memory in RAM, and what it frees in the process.

    Refused unless all memory may be locked: under a limit, what is allocated later would fail.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if not _may_lock_all():
        if hard != resource.RLIM_INFINITY:
            return (
                f"memory not locked: not permitted (memlock limit {_shown(hard, 'bytes')}, needs "
                f"unlimited or CAP_IPC_LOCK)"
            )
        if soft != hard:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    if _libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) != 0:
        number = ctypes.get_errno()
        return f"memory not locked: {errno.errorcode.get(number, number)}, {os.strerror(number)}"
    # Memory handed back to the kernel would have to be faulted in again.
    mallopt = getattr(_libc, "mallopt", None)  # glibc's
    if mallopt is not None:
        mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES)
        mallopt(_M_MMAP_THRESHOLD, _KEEP_BYTES)
    return None


def pin(cpus: Iterable[int]) -> str | None:
    """Let the calling thread run on these CPUs alone."""
    wanted = set(cpus)
    try:
        os.sched_setaffinity(0, wanted)
    except OSError as error:
        return (
            f"not pinned to CPU {listed(sorted(wanted))}: {error.strerror}; this process may use "
            f"{listed(sorted(os.sched_getaffinity(os.getpid())))}"
        )
    got = os.sched_getaffinity(0)
    if got != wanted:  # Linux leaves out in silence what is not there
        return (
            f"pinned to CPU {listed(sorted(got))} alone: "
            f"{listed(sorted(wanted - got))} cannot be used"
        )
    return None


def freeze_gc() -> None:
    """Collect now, then never: what exists lives on, and no collection interrupts a tick.

    Reference counting goes on, so only garbage in cycles stays until :func:`thaw_gc`.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


def thaw_gc() -> None:
    """Undo :func:`freeze_gc`, when the loop has ended."""
    gc.enable()
    gc.unfreeze()


def _may_lock_all() -> bool:
    """Whether the process has CAP_IPC_LOCK, and no limit holds for it."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> _CAP_IPC_LOCK & 1)
    return False


def _shown(limit: int, unit: str = "") -> str:
    return "unlimited" if limit == resource.RLIM_INFINITY else f"{limit} {unit}".strip()
