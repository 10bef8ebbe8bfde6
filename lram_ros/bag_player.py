"""Plays a bag to a live policy node: the inputs of a robot contract, and ``/clock``.

The policy node cannot tell it from the robot that was recorded. As a process:
:mod:`lram_ros.bag_player_node`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.serialization import deserialize_message
from rosgraph_msgs.msg import Clock

from lram_core.errors import CommandError, listed
from lram_ros.assembly import stamp_of
from lram_ros.bag_steps import Step, by_message, by_set, header_stamp
from lram_ros.bag_tracks import Track, has_clock, input_tracks, other_tracks
from lram_ros.bags.recording import Bag
from lram_ros.bags.survey import CLOCK
from lram_ros.contract_check import check_types
from lram_ros.episode_state import EpisodeState
from lram_ros.message_fields import message_class
from lram_ros.msg import PolicyTick
from lram_ros.play_options import Played, PlayOptions
from lram_ros.play_peers import POLL, Peers
from lram_ros.process import make_executor
from lram_ros.qos import data_qos, input_qos
from lram_ros.robot_contract import RobotContract

REPEAT_S = 1.0
"""Lockstep: wait for an answer after which a set is sent again, as the simulation bridge does."""
TRACE_GRACE_S = 2.0
_QUEUE = 100  # messages kept for a reader that is slow for a moment
_CLOCK_HZ = 100.0  # at least; of /clock where the bag has none
_ANSWERS = 64

__all__ = ["BagPlayer", "PlayOptions", "Played"]


class BagPlayer:
    """Publishes a bag for a policy node.

    Make it, :meth:`wait_ready`, :meth:`play`, :meth:`close`; from one thread. It subscribes to
    the policy's traces: ``on_trace`` gets each of them, for whoever wants to compare.

    Args:
        node: publishes; in the namespace of the policy node, and not on simulated time. The
            player spins it.
        bag: folder or file.
        robot: contract of the policy node.
        options: see :class:`PlayOptions`.
        check: called many times a second while it plays or waits; raises to end it.
        on_trace: takes every ``PolicyTick``.

    Attributes:
        lockstep: whether each set waits for the answer to the one before.

    Raises:
        LramError: the bag cannot be read or lacks an input of the contract; a message type is not
            installed, or has another definition than in the bag.
    """

    def __init__(
        self,
        node: Node,
        bag: str | Path,
        robot: RobotContract,
        options: PlayOptions | None = None,
        check: Callable[[], None] = lambda: None,
        on_trace: Callable[[Any], None] = lambda trace: None,
    ) -> None:
        options = self._options = options or PlayOptions()
        check_types(robot)
        self._bag = Bag(bag)
        try:
            namespace, prefix = options.bag_namespace, options.recorded_under
            self._inputs = input_tracks(self._bag, robot, namespace)
            others, left = [], []  # type: ignore[var-annotated]
            if prefix:
                others, left = other_tracks(self._bag, robot, prefix, namespace)
        except BaseException:
            self._bag.close()
            raise
        self._node, self._robot = node, robot
        self._check, self._on_trace = check, on_trace
        self.lockstep = robot.lockstep
        self._tracks = (*self._inputs, *others)
        self._sources = [track.source for track in self._inputs]
        self._outlets = {track.source: self._advertise(track) for track in self._tracks}
        self._clock_outlet = self._node.create_publisher(Clock, CLOCK, data_qos())
        self._told = -1  # newest time on /clock, in nanoseconds
        self._start: tuple[float, int] | None = None  # wall time in s, time of recording in ns
        self._last: int | None = None  # stamp of the newest set that was answered
        self._answers: deque[int] = deque(maxlen=_ANSWERS)
        self._traces: deque[int] = deque(maxlen=_ANSWERS)
        self._node.create_subscription(PolicyTick, "policy/tick", self._take_trace, data_qos())
        if self.lockstep:
            for sink in robot.sinks:
                self._node.create_subscription(
                    message_class(sink.type), sink.topic, self._take_answer, data_qos()
                )
        self._executor = make_executor(self._node.context)
        self._executor.add_node(node)
        self._peers = Peers(node, robot, self._spin)
        if left:
            self._node.get_logger().warning(f"not published: {'; '.join(left)}")
        if robot.tick_source == "clock" and options.rate != 1:
            self._node.get_logger().warning(
                f"rate {options.rate:g}: the policy's ticks come at {robot.control_rate:g} Hz of "
                f"wall time, so each spans {options.rate:g} periods of the recording"
            )

    def close(self) -> None:
        """Give up bag and executor; the node stays its owner's."""
        self._executor.remove_node(self._node)
        self._executor.shutdown()
        self._bag.close()

    def wait_ready(self) -> None:
        """Wait until the policy node is active and receives what is published here.

        Raises:
            CommandError: it is not after ``ready_timeout`` (the message says what is missing);
                an input is published by somebody else too, or somebody takes the commands.
        """
        options = self._options
        published = [publisher.topic_name for publisher in self._outlets.values()]
        self._peers.wait_ready(
            {track.topic: self._outlets[track.source] for track in self._inputs},
            recorded=[*published, CLOCK] if options.wait_for_recorder else [],
            timeout=options.ready_timeout,
        )
        self._peers.refuse_rivals([*published, CLOCK])
        if not options.allow_listeners:
            self._peers.refuse_listeners()

    def play(self) -> Played:
        """Play all of the bag, once.

        Raises:
            CommandError: in lockstep, a set was not answered.
            DataError: the bag is damaged.
        """
        begin = time.monotonic()
        messages = answered = incomplete = 0
        first = last = None
        self._start = self._last = None
        for step in self._steps():
            self._wait_for(step.time)
            self._answers.clear()  # a source that was restarted repeats its stamps
            self._publish(step)
            mine = sum(source in self._sources for source, _ in step.messages)
            messages += mine
            first, last = step.time if first is None else first, step.time
            if not self.lockstep or not mine:
                continue
            # The next one is due after this one, however late this one was.
            self._start = (time.monotonic(), step.time)
            incomplete += step.stamp is None
            if step.stamp is not None and self._running(step):
                self._wait_for_answer(step, step.stamp)
                answered += 1
                self._last = step.stamp
        self._end()
        recorded = 0 if first is None or last is None else last - first
        return Played(messages, answered, incomplete, recorded * 1e-9, time.monotonic() - begin)

    # What is played

    def _steps(self) -> Iterator[Step]:
        sources = [track.source for track in self._tracks]
        self._recorded_clock = not self.lockstep and has_clock(self._bag)
        if self._recorded_clock:
            sources.append(CLOCK)
        messages = ((m.time, m.topic, m.data) for m in self._bag.messages(sources))
        if not self.lockstep:
            return by_message(messages)
        readers = {track.source: _stamp_reader(track.type) for track in self._inputs}
        return by_set(
            messages,
            self._sources,
            lambda source, data: readers[source](data) if source in readers else None,
        )

    def _advertise(self, track: Track) -> Any:
        qos = data_qos() if track.input is None else input_qos(track.input)
        qos.depth = max(qos.depth, _QUEUE)
        return self._node.create_publisher(message_class(track.type), track.topic, qos)

    def _publish(self, step: Step) -> None:
        if step.stamp is not None:
            self._tell_time(step.stamp)
        elif not self._recorded_clock and not self.lockstep:
            self._tell_time(step.time)
        for source, data in step.messages:
            publisher = self._clock_outlet if source == CLOCK else self._outlets[source]
            publisher.publish(data)

    def _tell_time(self, stamp: int) -> None:
        if stamp > self._told:
            self._told = stamp
            message = Clock()
            message.clock.sec, message.clock.nanosec = divmod(stamp, 1_000_000_000)
            self._clock_outlet.publish(message)

    def _running(self, step: Step) -> bool:
        """Whether a set belongs to a running episode, so that the policy answers it."""
        if self._robot.episode is None:
            return True
        track = self._inputs[-1]
        status = deserialize_message(dict(step.messages)[track.source], message_class(track.type))
        return bool(status.state == EpisodeState.RUNNING)

    # When

    def _wait_for(self, recorded: int) -> None:
        """Spin until a message recorded at that time (ns) is due."""
        if self._start is None:
            self._start = time.monotonic(), recorded
        wall, origin = self._start
        rate = self._options.rate
        due = wall + (recorded - origin) * 1e-9 / rate
        if self.lockstep or self._recorded_clock:
            self._until(lambda: False, due - time.monotonic())
            return
        # /clock goes on between the messages, a little behind the next one.
        period = 1.0 / max(_CLOCK_HZ, 2 * self._robot.control_rate)
        while (left := due - time.monotonic()) > 0:
            self._until(lambda: False, min(left, period))
            here = origin + round((time.monotonic() - wall) * rate * 1e9)
            self._tell_time(min(here, recorded))

    def _wait_for_answer(self, step: Step, stamp: int) -> None:
        begin = time.monotonic()
        while not self._until(lambda: stamp in self._answers, REPEAT_S):
            waited = time.monotonic() - begin
            if waited >= self._options.answer_timeout:
                commands = listed(self._node.resolve_topic_name(s.topic) for s in self._robot.sinks)
                raise CommandError(
                    f"the policy did not answer the set of stamp {stamp * 1e-9:.3f} s within "
                    f"{waited:.0f} s; expected a command on {commands} or a trace on "
                    f"{self._node.resolve_topic_name('policy/tick')}; its log says why"
                )
            self._publish(step)

    def _end(self) -> None:
        """Let what is on its way arrive; a robot that ends is no fault of the policy."""
        if self.lockstep:
            if self._last is not None:
                self._until(lambda: self._last in self._traces, TRACE_GRACE_S)
        else:
            self._peers.deactivate()

    def _until(self, done: Callable[[], bool], seconds: float) -> bool:
        """Spin until ``done``, at most that long; returns whether it was."""
        end = time.monotonic() + seconds
        while not done():
            left = end - time.monotonic()
            if left <= 0:
                return False
            self._spin(left)
        return True

    def _spin(self, seconds: float = POLL) -> None:
        self._check()
        self._executor.spin_once(timeout_sec=min(seconds, POLL))

    def _take_answer(self, message: Any) -> None:
        self._answers.append(stamp_of(message))

    def _take_trace(self, message: Any) -> None:
        self._take_answer(message)
        self._traces.append(self._answers[-1])
        self._on_trace(message)


def _stamp_reader(type_name: str) -> Callable[[bytes], int]:
    """How to read the stamp of serialized messages: in place, where the header comes first."""
    kind = message_class(type_name)
    if next(iter(kind.get_fields_and_field_types())) == "header":
        return header_stamp
    return partial(_deserialized_stamp, kind)


def _deserialized_stamp(kind: Any, data: bytes) -> int:
    return stamp_of(deserialize_message(data, kind))
