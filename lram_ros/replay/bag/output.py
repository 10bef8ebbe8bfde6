"""A bag with the predictions beside the originals, for Foxglove, PlotJuggler and ``ros2 bag``."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.serialization import serialize_message
from rosbags.interfaces import Connection
from rosbags.rosbag2 import StoragePlugin, Writer

from lram_ros.bag_types import BagTypes
from lram_ros.bags.recording import SECOND, Bag
from lram_ros.msg import PolicyTick
from lram_ros.replay.bag.offline import Answers, OfflinePolicy, Replayed
from lram_ros.robot_contract import RobotContract

PREFIX = "/replay"
_TRACE = "lram_ros/msg/PolicyTick"

_Message = tuple[int, str, str, bytes]
"""Time (ns), topic, type, serialized."""


def write_predictions(
    path: Path,
    bag: Bag,
    robot: RobotContract,
    replayed: Replayed,
    policies: Sequence[OfflinePolicy],
    start: int,
) -> tuple[list[str], list[str]]:
    """Copy a bag, and add what each policy answered.

    New topics are ``/replay/NAME/<command topic>`` for each sink, of the sink's own type, and
    ``/replay/NAME/policy/tick`` (``PolicyTick``: observation, raw action, return to go; no
    timings). They stand at the times of the ticks.

    Args:
        path: folder of the new bag (MCAP); must not exist.
        bag: the recording.
        robot: whose commands they are.
        replayed: what was answered.
        policies: who answered.
        start: of the replay, ns.

    Returns:
        (new topics, topics of the bag that were left out: it does not define their types).
    """
    types = BagTypes()
    known, left = _definitions(bag, types)
    with Writer(path, version=8, storage_plugin=StoragePlugin.MCAP) as out:
        links: dict[str, Connection] = {}
        originals = (
            (m.time, m.topic, bag.topics[m.topic].type, m.data) for m in bag.messages(list(known))
        )
        parts: list[Iterator[_Message]] = [originals]
        for policy, answers in zip(policies, replayed.answers, strict=True):
            parts.append(_predictions(robot, replayed, policy, answers, start))
        for time, topic, kind, data in heapq.merge(*parts, key=lambda message: message[0]):
            if topic not in links:
                text, digest = known.get(topic) or types.definition(kind)
                links[topic] = out.add_connection(topic, kind, msgdef=text, rihs01=digest)
            out.write(links[topic], time, data)
    return sorted(set(links) - set(known)), left


def _definitions(bag: Bag, types: BagTypes) -> tuple[dict[str, tuple[str, str]], list[str]]:
    """Topic → (definition, hash) of what can be copied; and what cannot."""
    known, left = {}, []
    for name, topic in bag.topics.items():
        if not topic.count:
            continue
        if topic.definition and topic.digest:
            known[name] = topic.definition, topic.digest
            continue
        try:
            known[name] = types.definition(topic.type)
        except Exception:  # not installed, and the bag does not say
            left.append(f"{name} ({topic.type})")
    return known, left


def _predictions(
    robot: RobotContract,
    replayed: Replayed,
    policy: OfflinePolicy,
    answers: Answers,
    start: int,
) -> Iterator[_Message]:
    base = f"{PREFIX}/{topic_name(answers.name)}"
    adapters = policy.loaded.commander.adapters
    parts = _parts(robot)
    trace = PolicyTick(action_name=list(policy.policy.contract.action_names))
    for row in range(len(replayed)):
        time = start + round(replayed.time[row] * SECOND)
        stamp, number = int(replayed.stamp[row]), int(replayed.number[row])
        episode = _episode(replayed, row)
        for adapter, part in zip(adapters, parts, strict=True):
            values = answers.command[row, part]
            if np.isfinite(values).all():
                message = adapter.encode(values, stamp, episode, number)
                topic = f"{base}/{adapter.sink.topic.lstrip('/')}"
                yield time, topic, adapter.sink.type, serialize_message(message)
        _fill(trace, answers, row, stamp, episode, number)
        yield time, f"{base}/policy/tick", _TRACE, serialize_message(trace)


def _fill(trace: Any, answers: Answers, row: int, stamp: int, episode: int, number: int) -> None:
    trace.header.stamp.sec, trace.header.stamp.nanosec = divmod(stamp, SECOND)
    trace.episode, trace.tick = episode, number
    trace.observation = answers.observation[row].tolist()
    trace.return_to_go = float(answers.return_to_go[row])
    trace.raw_action = answers.raw[row].tolist()


def _episode(replayed: Replayed, row: int) -> int:
    trace = replayed.trace[row]
    return int(trace.episode) if trace is not None else int(replayed.segment[row]) + 1


def _parts(robot: RobotContract) -> list[slice]:
    found, end = [], 0
    for sink in robot.sinks:
        found.append(slice(end, end + len(sink.fields)))
        end += len(sink.fields)
    return found


def topic_name(name: str) -> str:
    """A name as a part of a topic: letters, digits and underscores, no digit first."""
    cleaned = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "policy"
    return f"p_{cleaned}" if cleaned[0].isdigit() else cleaned
