"""A bundle that is loaded, fits a robot, and has paid its first call. Free of rclpy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lram_ros.commander import Commander
from lram_ros.contract_check import check_contract
from lram_ros.embodiment import fitting
from lram_ros.robot_contract import RobotContract
from lram_ros.safety import SafetyLimits, contract_limits


@dataclass(frozen=True)
class LoadedPolicy:
    """What one activation after the other can run.

    Attributes:
        bundle: its folder.
        policy: as :meth:`~lram_core.policy.Policy.load` returns it, reset.
        commander: of its actions, for the robot.
        limits: of what goes on the wire.
        first_call: seconds that the model's first call took.
    """

    bundle: str
    policy: Any
    commander: Commander
    limits: SafetyLimits
    first_call: float

    @classmethod
    def load(
        cls,
        robot: RobotContract,
        bundle: str,
        load: Callable[..., Any],
        embodiment: str = "",
        **options: Any,
    ) -> LoadedPolicy:
        """Load, check, warm up.

        Args:
            robot: what it is to drive.
            bundle: folder.
            load: :meth:`~lram_core.policy.Policy.load`, or what stands for it.
            embodiment: which of the bundle's; empty for the one that fits the robot.
            options: passed on to ``load``.

        Raises:
            LramError: the bundle cannot be loaded, or does not fit the robot.
        """
        policy = load(bundle, embodiment=embodiment or fitting(robot), **options)
        check_contract(robot, policy.contract)
        limits = contract_limits(robot.sinks, policy.contract.action, robot.control_rate)
        commander = Commander(robot, policy.contract, limits)
        return cls(bundle, policy, commander, limits, policy.warm_up())
