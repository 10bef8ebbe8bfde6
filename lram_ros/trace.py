"""The messages a tick ends in: the command and its trace. Built once, refilled every tick."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np

from lram_core.contract import PolicyContract
from lram_ros.control import Tick, input_names
from lram_ros.msg import ActionCommand, PolicyTick
from lram_ros.robot_contract import RobotContract


class TickMessages:
    """ActionCommand and PolicyTick of one node; each call refills and returns the same object."""

    def __init__(self, robot: RobotContract, policy: PolicyContract, frame_id: str = "") -> None:
        self._command = ActionCommand(name=policy.action_names)
        self._command.header.frame_id = frame_id
        self._trace = PolicyTick(
            input_name=list(input_names(robot)), action_name=policy.action_names
        )
        self._period = 1.0 / policy.control_rate

    def command(self, tick: Tick) -> Any:
        """Return the ActionCommand of a tick whose command was not refused."""
        assert tick.commanded is not None
        message = self._command
        _fill_header(message, tick)
        message.value = array("d", tick.commanded.tobytes())
        return message

    def trace(self, tick: Tick, publish_s: float, total_s: float) -> Any:
        """Return the PolicyTick; ``commanded_action`` stays empty where a command was refused."""
        message = self._trace
        _fill_header(message, tick)
        message.observe_s = tick.observe_s
        message.tokenise_s = tick.timings["tokenise"]
        message.step_s = tick.timings["step"]
        message.decode_s = tick.timings["decode"]
        message.publish_s = publish_s
        message.total_s = total_s
        message.deadline_missed = total_s > self._period
        message.input_age = array("d", tick.ages)
        message.observation = array("f", tick.observation.tobytes())
        message.reward = tick.reward
        message.return_to_go = tick.return_to_go
        message.raw_action = array("d", np.ascontiguousarray(tick.raw, np.float64).tobytes())
        message.commanded_action = array(
            "d", b"" if tick.commanded is None else tick.commanded.tobytes()
        )
        message.clipped = tick.clipped.tolist()
        return message


def _fill_header(message: Any, tick: Tick) -> None:
    stamp = message.header.stamp
    stamp.sec, stamp.nanosec = divmod(tick.stamp, 1_000_000_000)
    message.episode = tick.episode
    message.tick = tick.number
