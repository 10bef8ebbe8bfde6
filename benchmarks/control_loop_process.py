"""The two processes of :mod:`benchmarks.control_loop`: a robot's sensors, and a control loop.

Both stamp with CLOCK_MONOTONIC, which is one clock for all processes of a machine: the stamp of a
message is when its set began to be published.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.executors import Executor, SingleThreadedExecutor
from rclpy.node import Node

from lram_core.policy import Policy
from lram_core.signals import StopRequest
from lram_ros import realtime
from lram_ros.adapters.registry import make_adapters
from lram_ros.assembly import LatestCollector, StaleInput, StampCollector
from lram_ros.contract_check import check_types
from lram_ros.control import ControlLoop
from lram_ros.episode_state import EpisodeState
from lram_ros.input_topic import InputTopic
from lram_ros.message_fields import message_class
from lram_ros.mock.joints import Joints
from lram_ros.mock.sensors import MessageMaker
from lram_ros.process import make_executor, ros
from lram_ros.qos import data_qos, input_qos
from lram_ros.realtime import RealtimeSettings
from lram_ros.robot_contract import RobotContract
from lram_ros.ticker import Ticker, TickTime
from lram_ros.trace import TickMessages

WARM_UP_S = 1.0
SPIN_S = 0.5
PRIORITY = 50
ROOM = 1_000_000


def contract_at(path: Path, rate: float, tick_source: str) -> RobotContract:
    """The contract, at another rate and without limits of age: a late set is to be measured."""
    robot = RobotContract.load(path)
    inputs = tuple(replace(topic, max_age=float("inf")) for topic in robot.inputs)
    assert isinstance(robot.reward, InputTopic)
    assert robot.episode is not None
    return replace(
        robot,
        control_rate=rate,
        tick_source=tick_source,
        inputs=inputs,
        reward=replace(robot.reward, max_age=float("inf")),
        episode=replace(robot.episode, max_age=float("inf")),
    )


def sensors(args: argparse.Namespace) -> None:
    """Publish every input of the contract at the rate; keep when, and when the answers came."""
    stop = StopRequest()
    robot = contract_at(args.contract, args.rate, "observation")
    check_types(robot)
    sent = np.zeros((ROOM, 3), np.int64)  # stamp, first and last message handed over
    answers = np.zeros((ROOM, 2), np.int64)  # stamp, arrival
    count = [0, 0]
    joints = Joints(robot, 1.0 / args.rate)
    with ros(["sensors"]):
        node = Node("sensors")
        makers = [MessageMaker(topic, {}) for topic in robot.topics]
        publishers = [
            node.create_publisher(maker.type, maker.topic.topic, input_qos(maker.topic))
            for maker in makers
        ]

        def tick(when: TickTime) -> None:
            messages = [maker.make(when.deadline, 0, joints) for maker in makers]
            messages[-1].state = int(EpisodeState.RUNNING)
            for message in messages[-2:]:
                message.episode, message.tick = 1, when.number
            stamp = time.monotonic_ns()
            for message in messages:
                message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp, 10**9)
            first = time.monotonic_ns()
            for publisher, message in zip(publishers[:-1], messages[:-1], strict=True):
                publisher.publish(message)
            last = time.monotonic_ns()  # the set is complete with the message that follows
            publishers[-1].publish(messages[-1])
            sent[count[0] % ROOM] = stamp, first, last
            count[0] += 1

        def answer(message: Any) -> None:
            stamp = message.header.stamp
            now = time.monotonic_ns()
            answers[count[1] % ROOM] = stamp.sec * 10**9 + stamp.nanosec, now
            count[1] += 1

        (adapter,) = make_adapters(robot)
        node.create_subscription(adapter.message_type, adapter.sink.topic, answer, data_qos())
        executor = make_executor(node.context)
        executor.add_node(node)
        realtime.freeze_gc()
        with Ticker(args.rate, tick, name="sensors"):
            while not stop:
                executor.spin_once(timeout_sec=0.1)
        executor.shutdown()
        node.destroy_node()
    np.savez(args.out, sent=sent[: count[0]], answers=answers[: count[1]])


class Loop:
    """A control loop over the parts of the policy node, with a note of every tick."""

    def __init__(self, node: Node, robot: RobotContract, policy: Policy, ticks: int) -> None:
        self._node = node
        self._loop = ControlLoop(policy, robot)
        self._messages = TickMessages(robot, policy.contract)
        self._publisher = node.create_publisher(
            message_class(robot.command.type), robot.command.topic, data_qos()
        )
        self._lock = threading.Lock()
        self._begin = 0
        self.latest = LatestCollector(robot.topics)
        self._stamps = StampCollector(robot.topics)
        by_stamp = robot.tick_source == "observation"
        for index, topic in enumerate(robot.topics):
            node.create_subscription(
                message_class(topic.type),
                topic.topic,
                partial(self._on_stamped if by_stamp else self._on_latest, index),
                input_qos(topic),
            )
        # start of the tick, end (command handed over), stamp of the newest set, model time (ns)
        self.notes = np.zeros((ticks, 4), np.int64)
        self.count = 0

    @property
    def done(self) -> bool:
        return self.count >= len(self.notes)

    def _on_stamped(self, index: int, message: Any) -> None:
        start = time.monotonic_ns()
        inputs = self._stamps.add(index, message, start * 1e-9)
        if inputs is not None:
            self._tick(inputs, start, inputs.stamp)

    def _on_latest(self, index: int, message: Any) -> None:
        with self._lock:
            self.latest.add(index, message, time.monotonic())

    def on_clock(self, *_: object) -> None:
        """A tick of whatever clock there is."""
        start = time.monotonic_ns()
        try:
            with self._lock:
                inputs = self.latest.take(start * 1e-9, start)
        except StaleInput:
            return  # nothing has come yet
        stamp = inputs.messages[-1].header.stamp
        self._tick(inputs, start, stamp.sec * 10**9 + stamp.nanosec)

    def _tick(self, inputs: Any, start: int, stamp: int) -> None:
        tick, fresh = self._loop.tick(inputs)
        if tick is None or not fresh:
            return
        self._publisher.publish(self._messages.command(tick))
        end = time.monotonic_ns()
        self._loop.settle()
        self._loop.take_notes()
        self._begin = self._begin or start
        if start - self._begin > WARM_UP_S * 1e9 and not self.done:
            self.notes[self.count] = start, end, stamp, round(sum(tick.timings.values()) * 1e9)
            self.count += 1


def control(args: argparse.Namespace) -> None:
    """Run a control loop of one kind for a number of ticks; keep the notes."""
    by_clock = args.kind in ("ticker", "ticker fifo", "rclpy timer")
    plain = args.kind in ("rclpy timer", "single-threaded")
    policy = Policy.load(args.bundle)
    policy.warm_up(50)
    robot = contract_at(args.contract, args.rate, "clock" if by_clock else "observation")
    settings = RealtimeSettings(
        priority=PRIORITY if args.kind.endswith("fifo") else 0,
        lock_memory=args.kind.endswith("fifo"),
    )
    with ros(["control"]):
        node = Node("control")
        loop = Loop(node, robot, policy, args.ticks)
        executor: Executor = SingleThreadedExecutor() if plain else make_executor(node.context)
        executor.add_node(node)
        warnings = [] if plain else realtime.apply_to_process(settings)
        ticker = None
        if args.kind == "rclpy timer":
            node.create_timer(1.0 / args.rate, loop.on_clock)
        elif by_clock:
            ticker = Ticker(
                args.rate,
                loop.on_clock,
                prepare=lambda: warnings.extend(realtime.apply_to_thread(settings)),
            )
            ticker.start()
        elif not plain:
            warnings += realtime.apply_to_thread(settings)
        limit = time.monotonic() + 30.0 + 3 * args.ticks / args.rate
        used, begin = None, 0.0
        while not loop.done and time.monotonic() < limit:
            executor.spin_once(timeout_sec=SPIN_S)
            if used is None and loop.count:
                used, begin = _processor_time(), time.monotonic()
        share = (_processor_time() - (used or 0.0)) / max(time.monotonic() - begin, 1e-9)
        if ticker is not None:
            ticker.stop()
        executor.shutdown()
        node.destroy_node()
    np.savez(
        args.out,
        notes=loop.notes[: loop.count],
        processor=share,
        runtime=policy.runtime.describe(),
        warnings=np.array(warnings),
    )


def _processor_time() -> float:
    times = os.times()
    return times.user + times.system


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("role", choices=("sensors", "control"))
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--contract", type=Path, required=True)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--kind", default="")
    parser.add_argument("--ticks", type=int, default=0)
    args = parser.parse_args()
    if args.role == "sensors":
        sensors(args)
    else:
        control(args)


if __name__ == "__main__":
    main()
