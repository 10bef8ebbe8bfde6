"""The command ``lram mock-robot``; a thin shell over :class:`lram_ros.mock.node.MockRobot`."""

from __future__ import annotations

import sys

import click

from lram_core.errors import CommandError
from lram_core.signals import StopRequest
from lram_ros.mock.faults import GRAMMAR, describe_kinds
from lram_ros.paths import find_contract


@click.command(
    epilog="\b\nFaults:\n  " + describe_kinds().replace("\n", "\n  "),
    context_settings={"max_content_width": 100},
)
@click.argument("contract")
@click.argument("ros_arguments", nargs=-1, type=click.UNPROCESSED)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    metavar=GRAMMAR,
    help="Fault and when it happens, see below; repeatable.",
)
@click.option("--rate", type=float, help="Rate of publishing in Hz (default: the contract's).")
@click.option("--sim-time", is_flag=True, help="Publish /clock, which starts at 1 s.")
@click.option(
    "--command-timeout",
    type=float,
    default=0.25,
    show_default=True,
    help="Seconds without a command after which the joints hold.",
)
@click.option(
    "--lag",
    type=float,
    default=0.05,
    show_default=True,
    help="Seconds that the joints lag behind their commands.",
)
@click.option("--task", default="", help="Task to announce on the contract's episode topic.")
@click.option(
    "--size",
    "sizes",
    multiple=True,
    metavar="FIELD=N",
    help="Values of a field whose size neither names nor type tell; repeatable.",
)
def mock_robot(
    contract: str,
    ros_arguments: tuple[str, ...],
    faults: tuple[str, ...],
    rate: float | None,
    sim_time: bool,
    command_timeout: float,
    lag: float,
    task: str,
    sizes: tuple[str, ...],
) -> None:
    """Publish the topics of a robot contract and follow its commands, without a robot.

    CONTRACT is a YAML file, or the name of one that is shipped, e.g. metaworld. ROS arguments go
    behind "--": lram mock-robot metaworld -- --ros-args -r __ns:=/left
    """
    from lram_ros.mock.node import MockRobot
    from lram_ros.mock.options import MockOptions
    from lram_ros.process import run_node
    from lram_ros.robot_contract import RobotContract

    options = MockOptions(
        faults=faults,
        rate=rate,
        sim_time=sim_time,
        command_timeout=command_timeout,
        lag=lag,
        task=task,
        sizes=dict(map(_size, sizes)),
    )
    robot = RobotContract.load(find_contract(contract))

    def start(stop: StopRequest) -> MockRobot:
        return MockRobot(robot, options)

    sys.exit(run_node(start, ["mock_robot", *ros_arguments]))


def _size(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    if not name or not (number.isascii() and number.isdigit() and int(number) > 0):
        raise CommandError(f"--size '{text}': expected FIELD=N, e.g. forces=6")
    return name, int(number)
