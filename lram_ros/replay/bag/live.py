"""A bag through a live policy node, over topics at the recorded pace, and what came of it.

The node is a process of its own in a ROS 2 domain that nobody else uses; the player is the one of
``replay.launch.py``.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.node import Node

from lram_core.signals import StopRequest
from lram_ros.assembly import stamp_of
from lram_ros.bag_player import BagPlayer, PlayOptions
from lram_ros.bags.recording import Bag
from lram_ros.children import Children, ros_arguments
from lram_ros.domain import isolation, reserved_domain
from lram_ros.process import ros
from lram_ros.replay.bag.agreement import Agreement, agreement, compare_traces
from lram_ros.replay.bag.offline import Answers, OfflinePolicy, Replayed, replay_offline
from lram_ros.replay.bag.record import BagRecord, RecordedTrace
from lram_ros.replay.bag.sightings import Sightings
from lram_ros.replay.bag.ticks import chosen_readings, traced_ticks
from lram_ros.robot_contract import RobotContract
from lram_ros.surroundings import environment


@dataclass(frozen=True)
class LiveOptions:
    """How a bag is played.

    Attributes:
        rate: of playing; 2: twice as fast as recorded.
        namespace: in which the bag was recorded.
        parameters: more of the policy node: runtime, precision, target_return.
    """

    rate: float = 1.0
    namespace: str = "/"
    parameters: tuple[tuple[str, Any], ...] = ()


def play_live(
    bag: Path, robot: RobotContract, bundle: str, options: LiveOptions, stop: StopRequest
) -> list[Any]:
    """Play a bag to a policy node and return the node's traces, in order.

    Raises:
        LramError: the node refuses bundle or contract (its last lines are in the message), or
            does not answer.
        Stopped: SIGINT or SIGTERM; all processes have ended.
    """
    traces: list[Any] = []
    with (
        tempfile.TemporaryDirectory(prefix="lram_replay_") as folder,
        reserved_domain() as domain,
    ):
        logs = Path(folder)
        variables = {**isolation(domain), "ROS_LOG_DIR": str(logs / "ros")}
        with environment(variables), Children(logs, variables) as children:
            given = {
                "bundle": str(Path(bundle).resolve()),
                "contract": str(Path(robot.source).resolve()),
                "use_sim_time": True,
                # No robot is moved: the policy answers from the first tick.
                "proof_time": 0.0,
                "blend_time": 0.0,
                # And a busy machine may be late.
                "late_after": 5.0,
                "watchdog": 10.0,
                "topic_timeout": 60.0,
                "black_box": str(logs / "boxes"),
                **dict(options.parameters),
            }
            children.start("policy", "lram_ros.policy_node", ros_arguments(given))

            def check() -> None:
                stop.check()
                children.check()

            _play(bag, robot, options, check, traces.append)
    return traces


def _play(
    bag: Path,
    robot: RobotContract,
    options: LiveOptions,
    check: Callable[[], None],
    take: Callable[[Any], None],
) -> None:
    play = PlayOptions(rate=options.rate, bag_namespace=options.namespace, allow_listeners=True)
    with ros([]):
        node = Node("bag_player")
        try:
            player = BagPlayer(node, bag, robot, play, check, take)
            try:
                player.wait_ready()
                player.play()
            finally:
                player.close()
        finally:
            node.destroy_node()


def compare_live(
    bag: Bag,
    record: BagRecord,
    robot: RobotContract,
    policy: OfflinePolicy,
    replayed: Replayed,
    answers: Answers,
    live: Sequence[Any],
) -> dict[str, Any]:
    """Compare a live run with the offline one, and with the recorded one.

    Where a clock ticks, no two runs tick at the same moments. The offline run is made again then,
    at the ticks of the live one.

    Returns:
        ``ticks``, ``offline``, ``recorded``: agreements as plain data; None where there is
        nothing to compare.
    """
    names = list(policy.policy.contract.action_names)
    by_clock = robot.tick_source == "clock"
    if by_clock:
        again = _along(bag, record, robot, policy, live)
        offline = agreement(again, again.answers[0], names)
        before = None
    else:
        offline = agreement(
            replayed, answers, names, aligned(replayed, live), _commands(robot, replayed, live)
        )
        before = compare_traces(replayed, aligned(replayed, live), names)
    return {
        "ticks": len(live),
        "offline": _plain(offline),
        "recorded": _plain(before),
    }


def aligned(replayed: Replayed, live: Sequence[Any]) -> list[Any | None]:
    """The live trace of each replayed tick, by the stamp of its inputs."""
    found = {stamp_of(trace): trace for trace in reversed(live)}
    return [found.get(int(stamp)) for stamp in replayed.stamp]


def _commands(robot: RobotContract, replayed: Replayed, live: Sequence[Any]) -> Any:
    """(ticks, size) what the live node commanded; None where a supervisor stands in between."""
    if not all(sink.adapter == "native" for sink in robot.sinks):
        return None
    names = [item.name for sink in robot.sinks for item in sink.fields]
    rows = np.full(replayed.command.shape, np.nan)
    for row, trace in enumerate(aligned(replayed, live)):
        if trace is not None and len(trace.commanded_action):
            order = [list(trace.action_name).index(name) for name in names]
            rows[row] = np.asarray(trace.commanded_action)[order]
    return rows


def _along(
    bag: Bag, record: BagRecord, robot: RobotContract, policy: OfflinePolicy, live: Sequence[Any]
) -> Replayed:
    """The bag offline, at the ticks of the live run: ROS time was the time of the recording."""
    traces = [RecordedTrace(stamp_of(trace), stamp_of(trace), trace) for trace in live]
    again = OfflinePolicy(policy.name, robot, policy.loaded, policy.target_return)
    played = replace(record, traces=traces)
    chosen = chosen_readings(played)
    Sightings(bag, played, robot, policy.policy.contract).correct(chosen)
    ticks = traced_ticks(bag, played, robot, chosen)
    return replay_offline(ticks, [again], record.start, lambda tick, error: str(error))


def _plain(found: Agreement | None) -> dict[str, Any] | None:
    return None if found is None else found.plain()
