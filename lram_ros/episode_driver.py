"""Runs episodes over topics: asks for resets, watches the robot and the policy, takes notes.

It stands outside the control loop: the policy and the robot talk to each other, the driver only
starts episodes and listens. As a process: :mod:`lram_ros.episode_driver_node`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy

from lram_core.errors import CommandError, LramError, listed
from lram_ros.episode_log import EpisodeLog
from lram_ros.episode_state import EpisodeState
from lram_ros.message_fields import message_class
from lram_ros.msg import EpisodeStatus, PolicyTick
from lram_ros.policy_parameters import RUNTIME_IN_USE
from lram_ros.process import make_executor
from lram_ros.recording_scope import RECORDER, recorded
from lram_ros.report.results import EpisodeResult
from lram_ros.srv import ResetEpisode

T = TypeVar("T")

POLL = 0.05  # seconds between looks at signals and processes
SETTLE = 0.5  # seconds from a discovered subscription to a matched one
TRACE_GRACE = 2.0  # seconds for the last PolicyTick to arrive after an episode's end
_SEED, _STEPS = 2**63 - 1, 2**32 - 1  # largest values of the fields of ResetEpisode
QOS = QoSProfile(depth=1000, reliability=ReliabilityPolicy.RELIABLE)


@dataclass(frozen=True)
class EpisodePlan:
    """An episode to run; ``max_steps`` 0 stands for the task's own limit."""

    task: str
    seed: int
    max_steps: int = 0


def split_tasks(text: str) -> list[str]:
    """Task names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def make_plan(tasks: Iterable[str], episodes: int, seed: int, max_steps: int) -> list[EpisodePlan]:
    """``episodes`` of each task, with the seeds ``seed``, ``seed + 1``, …

    Raises:
        CommandError: there is no task or no episode, or a number that ``ResetEpisode`` cannot hold.
    """
    if not 0 <= seed <= _SEED + 1 - episodes:
        raise CommandError(f"{episodes} seeds from {seed} are out of range; expected 0 … {_SEED}")
    if not 0 <= max_steps <= _STEPS:
        raise CommandError(f"max_steps {max_steps} is out of range; expected 0 … {_STEPS}")
    plan = [EpisodePlan(task, seed + i, max_steps) for task in tasks for i in range(episodes)]
    if not plan:
        raise CommandError("no episode to run: at least one task and one episode are needed")
    return plan


class EpisodeDriver(Node):
    """Drives a robot that offers ``reset_episode`` and publishes ``episode``.

    Args:
        check: called many times a second while waiting; raises to end the run.
        stall: seconds without any progress after which a run is given up.
    """

    def __init__(
        self, check: Callable[[], None] = lambda: None, stall: float = 30.0, **options: Any
    ) -> None:
        super().__init__("episode_driver", **options)
        self._check = check
        self._stall = stall
        self._log: EpisodeLog | None = None
        self._period: float | None = None
        self._missing_traces = 0
        self.suite = ""
        """Suite of the episodes, as the robot announces it."""
        self._reset = self.create_client(ResetEpisode, "reset_episode")
        self.create_subscription(EpisodeStatus, "episode", self._take, QOS)
        self.create_subscription(PolicyTick, "policy/tick", self._take, QOS)
        self._early: list[tuple[Any, float]] = []
        self._executor = make_executor(self.context)
        self._executor.add_node(self)

    def close(self) -> None:
        """Give up the executor and the node."""
        self._executor.remove_node(self)
        self._executor.shutdown()
        self.destroy_node()

    def wait_ready(self, recorder: bool, timeout: float) -> None:
        """Wait until robot and policy are up and see each other, and a recorder sees all they send.

        Raises:
            CommandError: they are not after ``timeout`` seconds; the message says what is missing.
        """
        deadline = time.monotonic() + timeout
        while missing := self._missing(recorder):
            if time.monotonic() > deadline:
                raise CommandError(f"not ready after {timeout:g} s; missing: {listed(missing)}")
            self._spin()
        deadline = time.monotonic() + SETTLE
        while time.monotonic() < deadline:
            self._spin()

    def policy_runtime(self, timeout: float = 5.0) -> str:
        """Return what runs the policy's model, in its node's words; empty if it does not tell."""
        deadline = time.monotonic() + timeout
        trace = self.resolve_topic_name("policy/tick")
        for info in self.get_publishers_info_by_topic(trace):
            node = f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            client = self.create_client(GetParameters, f"{node}/get_parameters")
            try:
                while not client.service_is_ready() and time.monotonic() < deadline:
                    self._spin()
                answer = client.call_async(GetParameters.Request(names=[RUNTIME_IN_USE]))
                while not answer.done() and time.monotonic() < deadline:
                    self._spin()
                if answer.done():
                    return "".join(value.string_value for value in answer.result().values)
            finally:
                self.destroy_client(client)
        return ""

    def run(
        self,
        plan: Iterable[EpisodePlan],
        on_tick: Callable[[EpisodePlan, int], None] = lambda plan, tick: None,
    ) -> Iterator[EpisodeResult]:
        """Run the episodes of a plan, one result each.

        Args:
            plan: what to run.
            on_tick: called while an episode runs, with the number of control ticks so far.

        Raises:
            CommandError: the robot refuses a reset, stops answering, or aborts an episode.
        """
        for episode in plan:
            self._early.clear()
            log = EpisodeLog(self._start(episode))
            for message, arrival in self._early:  # what overtook the answer of the reset
                _sort(log, message, arrival)
            self._log = log
            self._finish(episode, log, on_tick)
            self._log = None
            self._period = self._period or log.period
            self._missing_traces += log.missing_traces
            self.suite = log.end.suite
            yield log.result()

    @property
    def control_rate(self) -> float:
        """Rate of the control loop in simulation time, Hz, as the stamps show it.

        Raises:
            CommandError: no episode has shown two stamps.
        """
        if not self._period:
            raise CommandError("no episode has shown its control period: no two stamps in a row")
        return 1.0 / self._period

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader of the results must know."""
        if not self._missing_traces:
            return ()
        return (f"{self._missing_traces} control ticks have no PolicyTick: no latency is known.",)

    def _missing(self, recorder: bool) -> list[str]:
        episode, trace = map(self.resolve_topic_name, ("episode", "policy/tick"))
        policies = self._sending(trace)
        missing = []
        if not self._reset.service_is_ready():
            missing.append("the service reset_episode (simulation bridge)")
        if not policies & self._listening(episode):
            missing.append("a policy node that publishes policy/tick and listens to episode")
        if not missing and recorder:
            left = self._unrecorded(policies | self._sending(episode))
            missing += [f"the recorder on {topic}" for topic in left]
        return missing

    def _unrecorded(self, nodes: set[str]) -> list[str]:
        """Topics of these nodes that a recorder would take and has not subscribed to yet."""
        left = []
        for topic, types in self.get_topic_names_and_types():
            if (
                recorded(topic, self.get_namespace())
                and nodes & self._sending(topic)
                and RECORDER not in self._listening(topic)
                and all(map(_installed, types))
            ):
                left.append(topic)
        return left

    def _sending(self, topic: str) -> set[str]:
        """Names of the nodes that publish a topic (a full name)."""
        return {info.node_name for info in self.get_publishers_info_by_topic(topic)}

    def _listening(self, topic: str) -> set[str]:
        """Names of the nodes that subscribe to a topic."""
        return {info.node_name for info in self.get_subscriptions_info_by_topic(topic)}

    def _start(self, plan: EpisodePlan) -> int:
        """Ask for an episode; returns its number."""
        request = ResetEpisode.Request(task=plan.task, seed=plan.seed, max_steps=plan.max_steps)
        future = self._reset.call_async(request)
        self._wait(future.done, lambda: None, f"no answer to the reset of {plan.task}")
        answer = future.result()
        if not answer.success:
            raise CommandError(f"the reset of {plan.task} was refused: {answer.message}")
        return int(answer.episode)

    def _finish(
        self, plan: EpisodePlan, log: EpisodeLog, on_tick: Callable[[EpisodePlan, int], None]
    ) -> None:
        """Wait for an episode's end, and a moment longer for its last traces."""
        shown = -1

        def ended() -> bool:
            nonlocal shown
            if log.ticks != shown:
                shown = log.ticks
                on_tick(plan, shown)
            return log.end is not None

        where = f"{plan.task}, seed {plan.seed}: no progress"
        self._wait(ended, lambda: log.ticks, where)
        if log.end.state == EpisodeState.ABORTED:
            raise CommandError(f"{plan.task}, seed {plan.seed}: aborted at tick {log.ticks}")
        deadline = time.monotonic() + TRACE_GRACE
        while log.awaits_trace and time.monotonic() < deadline:
            self._spin()

    def _wait(self, done: Callable[[], bool], progress: Callable[[], T], what: str) -> None:
        """Spin until ``done``; gives up when ``progress`` has not changed for too long."""
        seen, since = progress(), time.monotonic()
        while not done():
            self._spin()
            if progress() != seen:
                seen, since = progress(), time.monotonic()
            elif time.monotonic() - since > self._stall:
                at = "" if seen is None else f" after tick {seen}"
                raise CommandError(f"{what} for {self._stall:g} s{at}")

    def _spin(self) -> None:
        self._check()
        self._executor.spin_once(timeout_sec=POLL)

    def _take(self, message: Any) -> None:
        now = time.monotonic()
        if self._log is None:
            self._early.append((message, now))
        else:
            _sort(self._log, message, now)


def _installed(type_name: str) -> bool:
    """Whether a message type is there; a recorder cannot take what is not."""
    try:
        message_class(type_name)
    except LramError:
        return False
    return True


def _sort(log: EpisodeLog, message: Any, arrival: float) -> None:
    if isinstance(message, PolicyTick):
        log.add_trace(message)
    else:
        log.add_status(message, arrival)
