"""Which embodiment of a bundle a robot contract is of."""

from __future__ import annotations

from lram_core.embodiments import Choice, Contracts
from lram_core.errors import ContractError
from lram_ros.contract_check import disagreements
from lram_ros.robot_contract import RobotContract


def fitting(robot: RobotContract) -> Choice:
    """Choose the embodiment of a robot: the only one there is, or the one that fits.

    Those with the robot's model and gripper are looked at; where there are several, the one that
    agrees with the robot contract in everything is chosen.

    The choice raises ContractError, listing the embodiments, where none or more than one is left.
    """

    def choose(contracts: Contracts) -> str:
        if len(contracts) == 1:
            return ""
        found = [
            name
            for name, policy in contracts.items()
            if (policy.robot, policy.gripper) == (robot.robot, robot.gripper)
        ]
        if len(found) > 1:
            found = [n for n in found if not any(disagreements(robot, contracts[n]))] or found
        if len(found) != 1:
            raise ContractError(
                f"{robot.source}: {'several' if found else 'no'} embodiments of the bundle are for "
                f"{robot.robot} with {robot.gripper}; available: {_told(contracts)}; "
                "choose one with 'embodiment'"
            )
        return found[0]

    return choose


def _told(contracts: Contracts) -> str:
    return ", ".join(f"{n} ({c.robot} with {c.gripper})" for n, c in contracts.items())
