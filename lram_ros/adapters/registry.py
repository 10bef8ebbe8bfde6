"""Adapters by name. The names themselves, and what each takes, are in :mod:`.table`."""

from __future__ import annotations

from lram_core.errors import ContractError, listed
from lram_ros.adapters.base import Adapter
from lram_ros.adapters.forward import ForwardAdapter
from lram_ros.adapters.gripper import GripperAdapter
from lram_ros.adapters.joint_state import JointStateAdapter
from lram_ros.adapters.native import NativeAdapter
from lram_ros.adapters.sink import CommandSink
from lram_ros.adapters.trajectory import TrajectoryAdapter
from lram_ros.adapters.twist import TwistAdapter
from lram_ros.robot_contract import RobotContract

_CLASSES: dict[str, type[Adapter]] = {
    "forward_position": ForwardAdapter,
    "forward_velocity": ForwardAdapter,
    "forward_effort": ForwardAdapter,
    "joint_trajectory": TrajectoryAdapter,
    "joint_state_command": JointStateAdapter,
    "twist": TwistAdapter,
    "gripper": GripperAdapter,
    "native": NativeAdapter,
}


def make_adapter(sink: CommandSink, period: float) -> Adapter:
    """Return the adapter of a sink; ``period`` is the control period in seconds.

    Raises:
        ContractError: there is no adapter of that name, or its message package is not installed.
    """
    if sink.adapter not in _CLASSES:
        raise ContractError(
            f"{sink.topic}: adapter '{sink.adapter}' is unknown; there are {listed(_CLASSES)}"
        )
    return _CLASSES[sink.adapter](sink, period)


def make_adapters(robot: RobotContract) -> list[Adapter]:
    """Return an adapter for each of the contract's sinks, in order. Raises as make_adapter."""
    return [make_adapter(sink, 1.0 / robot.control_rate) for sink in robot.sinks]
