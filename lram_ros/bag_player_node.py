"""The bag player as a process: waits for the policy node, plays a bag to it, ends.

Start: ``python -m lram_ros.bag_player_node --ros-args -p bag:=FOLDER -p contract:=FILE``.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from rclpy.node import Node

from lram_core.errors import CommandError
from lram_core.signals import Stopped, StopRequest, run_process
from lram_ros.bag_player import BagPlayer, PlayOptions
from lram_ros.paths import find_contract
from lram_ros.process import declare, ros
from lram_ros.robot_contract import RobotContract

PARAMETERS: dict[str, tuple[Any, str] | tuple[Any, str, tuple[float, float]]] = {
    "bag": ("", "Folder (or .mcap file) of the bag; required."),
    "contract": ("", "Robot contract: a file, or the name of a shipped one; empty: metaworld."),
    "rate": (1.0, "Speed of playing; 2: twice as fast as recorded.", (0.001, 1000.0)),
    "bag_namespace": ("/", "Namespace in which the bag was recorded."),
    "recorded_under": (
        "",
        "Prefix under which the bag's other topics come out, e.g. 'recorded'; empty: they do not.",
    ),
    "wait_for_recorder": (False, "Begin when a recorder has subscribed to everything."),
    "allow_listeners": (False, "Play even where a robot takes the commands."),
    "ready_timeout": (120.0, "Seconds to wait for the policy node.", (0.0, 3600.0)),
    "answer_timeout": (30.0, "Seconds to wait for a set's answer, in lockstep.", (0.0, 3600.0)),
}
"""Parameters: default, description, and range of a number."""


def _run(stop: StopRequest) -> None:
    with ros():
        node = Node("bag_player")
        try:
            play(node, read_parameters(node), stop.check)
        except Stopped:
            node.get_logger().info(f"stopped by {stop.reason}")
        finally:
            node.destroy_node()


def read_parameters(node: Node) -> dict[str, Any]:
    """Declare :data:`PARAMETERS` and return their values.

    Raises:
        CommandError: one has the wrong type or is out of its range, or there is no bag.
    """
    values = {}
    for name, spec in PARAMETERS.items():
        bounds = spec[2] if len(spec) == 3 else None
        values[name] = declare(node, name, spec[0], spec[1], bounds=bounds)
    if not values["bag"]:
        raise CommandError("parameter bag is not set; give the folder of a rosbag2 bag")
    return values


def play(node: Node, values: dict[str, Any], check: Callable[[], None]) -> None:
    """Play the bag that the parameters name, and report.

    Raises:
        LramError: bag and robot contract do not fit, or the policy node does not answer.
    """
    given = dict(values)
    bag, contract = given.pop("bag"), given.pop("contract")
    robot = RobotContract.load(find_contract(contract or "metaworld"))
    player = BagPlayer(node, bag, robot, PlayOptions(**given), check)
    log = node.get_logger()
    try:
        log.info(f"{bag}: waiting for the policy node")
        player.wait_ready()
        log.info("playing")
        played = player.play()
    finally:
        player.close()
    answered = f", {played.answered} sets answered" if player.lockstep else ""
    log.info(
        f"played {played.messages} messages{answered}: {played.recorded_s:.1f} s of recording in "
        f"{played.wall_s:.1f} s"
    )
    if played.incomplete:
        log.warning(f"{played.incomplete} sets lacked a topic in the bag and were not waited for")


def main() -> None:
    """Exits with 0 when the bag was played or a signal came, with 2 and one line on an error."""
    sys.exit(run_process(_run))


if __name__ == "__main__":
    main()
