"""What ``/diagnostics`` says of the policy node: loop, safety and runtime, one status each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from lram_ros.loaded_policy import LoadedPolicy
from lram_ros.safety import Mode
from lram_ros.tick_statistics import Summary

_WAITING = (Mode.WAITING, Mode.BLENDING, Mode.STOPPING)


def loop_status(name: str, loop: Summary, stages: Summary, before: int) -> Any:
    """The control loop: true rate, worst second, stage times, misses, ages, clipping.

    Args:
        name: of the node.
        loop: of every tick.
        stages: of the ticks that asked the policy: its stage times replace those of ``loop``.
        before: misses and late ticks at the last report; more of them is a warning.
    """
    bad = loop.missed + loop.late - before
    if loop.ticks == 0:
        level, text = DiagnosticStatus.OK, "no tick yet"
    elif bad > 0:
        level, text = DiagnosticStatus.WARN, f"{loop.rate:g} Hz, {bad} ticks late or missed"
    else:
        level, text = DiagnosticStatus.OK, f"{loop.rate:g} Hz"
    figures = {k: v for k, v in loop.key_values().items() if not k.startswith("total ")}
    times = {k: v for k, v in stages.key_values().items() if k.startswith(tuple(stages.stages))}
    return status(f"{name}: control loop", level, text, {**figures, **times})


def runtime_status(name: str, state: str, loaded: LoadedPolicy | None, device: str) -> Any:
    """What runs: bundle, runtime and device; ``state`` is that of the lifecycle."""
    values = {"lifecycle": state, "device": device}
    if loaded is not None:
        values["runtime"] = loaded.policy.runtime.describe()
        values["bundle"] = loaded.bundle
        values["first call [ms]"] = f"{loaded.first_call * 1e3:.0f}"
    return status(f"{name}: runtime", DiagnosticStatus.OK, state, values)


def safety_status(name: str, mode: Mode, fault: object, waiting_for: tuple[str, ...]) -> Any:
    """The supervisor: its mode, why it stopped, what a start or a re-arm waits for."""
    if fault is not None and mode in (Mode.STOPPING, Mode.HOLDING):
        level, text = DiagnosticStatus.ERROR, f"{mode.value}: {fault}"
    elif mode in _WAITING:
        text = "; ".join(waiting_for)
        level, text = DiagnosticStatus.WARN, f"{mode.value}: {text}" if text else mode.value
    else:
        level, text = DiagnosticStatus.OK, mode.value
    values = {
        "mode": mode.value,
        "reason": "" if fault is None else str(fault),
        "waiting for": "; ".join(waiting_for),
    }
    return status(f"{name}: safety", level, text, values)


def status(name: str, level: bytes, message: str, values: Mapping[str, str]) -> Any:
    """Return a DiagnosticStatus."""
    pairs = [KeyValue(key=key, value=value) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=message, values=pairs)
