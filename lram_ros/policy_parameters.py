"""Parameters of the policy node, declared with what they mean and what they may be."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from lram_core.checks import finite32
from lram_core.errors import CommandError, ContractError
from lram_core.runtimes import AUTO, RUNTIMES
from lram_ros.paths import find_contract
from lram_ros.process import declare
from lram_ros.realtime import RealtimeSettings
from lram_ros.runner import RunnerSettings
from lram_ros.safety import Rules, SafetyLimits

RUNTIME_IN_USE = "runtime_in_use"
"""Read-only parameter that tells what ``runtime`` and ``precision`` have led to."""

_WATCHDOG_S = 0.1

CHANGEABLE = ("bundle", "target_return")
PARAMETERS: dict[str, tuple[Any, str] | tuple[Any, str, tuple[float, float]]] = {
    "bundle": ("", "Folder of the policy bundle; can be changed unless the node is active."),
    "embodiment": ("", "Embodiment, of a bundle with several; empty: the one that fits the robot."),
    "contract": (
        "",
        "Robot contract: a YAML file, or the name of a shipped one; empty: metaworld.",
    ),
    "device": ("cpu", "Where the model runs: cpu, cuda or auto."),
    "runtime": (AUTO, f"What runs the model: {', '.join([AUTO, *RUNTIMES])}."),
    "precision": ("", "Precision of the weights; empty for the runtime's own."),
    "threads": (1, "Threads of one model step; small models are fastest with 1.", (1, 256)),
    "topic_timeout": (
        20.0,
        "Seconds to wait in configure for every input to be published.",
        (0.0, 3600.0),
    ),
    "autostart": (True, "Configure and activate at the start; false: wait for a manager."),
    "activation_timeout": (
        20.0,
        "Seconds after activation within which every input must be sound and fresh.",
        (0.0, 3600.0),
    ),
    "proof_time": (0.5, "Seconds for which every input must be fine before a start.", (0.0, 60.0)),
    "blend_time": (1.0, "Seconds from the measured pose to the policy's actions.", (0.0, 60.0)),
    "late_after": (
        0.0,
        "Seconds between two ticks that stop the robot; 0: 3 periods.",
        (0.0, 60.0),
    ),
    "watchdog": (
        0.0,
        "Seconds without a tick that stop the robot; 0: 5 periods, at least 0.1 s.",
        (0.0, 60.0),
    ),
    "stop_topic": ("~/stop", "std_msgs/Bool: true stops the robot, latched."),
    "priority": (0, "SCHED_FIFO priority of the control thread; 0: none.", (0, 99)),
    "lock_memory": (False, "Keep the process in RAM."),
    "cpus": ("", "CPUs of the control thread, e.g. '2,3'; empty: any."),
    "freeze_gc": (True, "No garbage collection while active."),
    "black_box": ("", "Folder for the last ticks before a fault; empty: ROS_HOME/lram."),
    "black_box_ticks": (500, "Ticks kept for it.", (1, 1_000_000)),
    "target_return": (
        math.nan,
        "Return to ask for, in reward units, from the next episode on; NaN: by task.",
    ),
}


class PolicyParameters:
    """Declares the parameters on a node and reads them.

    Raises:
        CommandError: a parameter was given a value of the wrong type or out of its range.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        for name, spec in PARAMETERS.items():
            bounds = spec[2] if len(spec) == 3 else None
            declare(node, name, spec[0], spec[1], name not in CHANGEABLE, bounds)

    def __getitem__(self, name: str) -> Any:
        return self._node.get_parameter(name).value

    def check(self) -> None:
        """Check what a range cannot say.

        Raises:
            LramError: a parameter is missing, or makes no sense.
        """
        if not self["bundle"]:
            raise ContractError("parameter bundle is not set; give the folder of a policy bundle")
        target = self["target_return"]
        if not _possible(target):
            raise ContractError(f"parameter target_return: must be finite or NaN, found {target}")
        _ = self.realtime

    @property
    def contract(self) -> str:
        return str(find_contract(self["contract"] or "metaworld"))

    @property
    def target_return(self) -> float | None:
        """None stands for "by task"."""
        value = float(self["target_return"])
        return None if math.isnan(value) else value

    @property
    def realtime(self) -> RealtimeSettings:
        """Raises CommandError: cpus is no list of numbers."""
        text = self["cpus"].replace(",", " ").split()
        if not all(cpu.isdecimal() for cpu in text):
            raise CommandError(f"parameter cpus: expected e.g. '2,3', found '{self['cpus']}'")
        return RealtimeSettings(
            priority=self["priority"],
            lock_memory=self["lock_memory"],
            cpus=tuple(map(int, text)),
            freeze_gc=self["freeze_gc"],
        )

    @property
    def black_box(self) -> Path:
        home = os.environ.get("ROS_HOME") or Path.home() / ".ros"
        return Path(self["black_box"] or Path(home) / "lram")

    def rules(self, limits: SafetyLimits, lockstep: bool) -> Rules:
        """Return what the supervisor goes by; in lockstep nothing waits for time to pass."""
        return Rules(
            limits,
            blend_s=0.0 if lockstep else self["blend_time"],
            proof_s=0.0 if lockstep else self["proof_time"],
            late_s=self["late_after"] or None,
        )

    def runner_settings(self, control_rate: float) -> RunnerSettings:
        """Return how an activation at ``control_rate`` in Hz behaves."""
        return RunnerSettings(
            watchdog_s=self["watchdog"] or max(5.0 / control_rate, _WATCHDOG_S),
            simulated_time=bool(self["use_sim_time"]),
            black_box_ticks=self["black_box_ticks"],
        )

    def on_change(self, check: Callable[[str, Any], str], changed: Callable[[str], None]) -> None:
        """Ask before a parameter is set, and tell when it was.

        Args:
            check: takes name and value; returns why it is refused, empty: it is not.
            changed: takes the name.
        """

        def before(parameters: list[Parameter]) -> SetParametersResult:
            for parameter in parameters:
                reason = check(parameter.name, parameter.value)
                if parameter.name == "target_return" and not _possible(parameter.value):
                    reason = "target_return must be finite or NaN"
                if reason:
                    return SetParametersResult(successful=False, reason=reason)
            return SetParametersResult(successful=True)

        def after(parameters: list[Parameter]) -> None:
            for parameter in parameters:
                changed(parameter.name)

        self._node.add_on_set_parameters_callback(before)
        self._node.add_post_set_parameters_callback(after)


def _possible(value: float) -> bool:
    return math.isnan(value) or bool(finite32(value))
