"""When the simulated robot moves: on each command (lockstep), or by the wall clock (real time)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Protocol

from lram_core.errors import LramError, TaskError
from lram_core.pacing import Pacer
from lram_sim.bridge_episode import Simulation, Snapshot, Standstill, State
from lram_sim.drive import HOLD_S, Targets
from lram_sim.suite import Array

REPEAT_S = 1.0
"""Lockstep: wait for a command after which the newest snapshot is shown again, to those who joined
late or whose answer was lost."""


@dataclass(frozen=True)
class Command:
    """An action and what it answers: the stamp (ns) of the observation, and its episode."""

    stamp: int
    episode: int
    action: Array


class Pace(Protocol):
    """Drives a Simulation; all its steps run on one thread.

    Errors that are no LramError mean that the simulation is broken: they leave :meth:`reset`,
    :meth:`command` and :meth:`idle`, or go to whoever was named to a pace with a thread.
    """

    @property
    def skipped(self) -> int:
        """Control ticks that were left out because the simulation was too slow."""
        ...

    def start(self) -> None:
        """Begin; to be called once, when everything that it will call is there."""
        ...

    def reset(self, task: str, seed: int, max_steps: int) -> Snapshot:
        """Start an episode. Raises TaskError, as :meth:`Simulation.reset`."""
        ...

    def command(self, command: Command) -> None:
        """Take a command from a policy."""
        ...

    def idle(self) -> None:
        """Called now and then while nothing else happens."""
        ...

    def stop(self) -> None:
        """Stop for good and give the task back."""
        ...


def followed(targets: Targets, now: Snapshot) -> Array | None:
    """Return the action that takes the robot towards its targets; None before the first one."""
    names, positions, _ = now.joints
    return targets.action(dict(zip(names, positions.tolist(), strict=True)))


class Lockstep:
    """One control tick for each command that answers the newest snapshot; others are ignored.

    Runs on the caller's thread.

    Args:
        simulation: to advance.
        show: called with each snapshot.
        targets: of joints and gripper, for :meth:`follow`; None for a suite without.
    """

    def __init__(
        self,
        simulation: Simulation,
        show: Callable[[Snapshot], None],
        targets: Targets | None = None,
    ) -> None:
        self._simulation = simulation
        self._show = show
        self._targets = targets
        self._shown = time.monotonic()

    @property
    def skipped(self) -> int:
        return 0

    def start(self) -> None:
        """Nothing to do: it runs when it is called."""

    def reset(self, task: str, seed: int, max_steps: int) -> Snapshot:
        snapshot = self._simulation.reset(task, seed, max_steps)
        if self._targets is not None:
            self._targets.clear()
        self._publish(snapshot)
        return snapshot

    def command(self, command: Command) -> None:
        if self._answers(command.stamp):
            self._publish(self._simulation.step(command.action))

    def follow(self, stamp: int) -> None:
        """Advance towards the targets, which are complete for the snapshot of ``stamp`` (ns)."""
        now = self._simulation.current
        if now is not None and self._targets is not None and self._answers(stamp):
            action = followed(self._targets, now)
            if action is not None:
                self._publish(self._simulation.follow(action))

    def _answers(self, stamp: int) -> bool:
        now = self._simulation.current
        return now is not None and now.state is State.RUNNING and stamp == now.stamp

    def idle(self) -> None:
        now = self._simulation.current
        if now is None or now.state is not State.RUNNING:
            return
        if time.monotonic() - self._shown >= REPEAT_S:
            self._publish(now)

    def stop(self) -> None:
        self._simulation.close()

    def _publish(self, snapshot: Snapshot) -> None:
        self._show(snapshot)
        self._shown = time.monotonic()


class RealTime:
    """Control ticks by the wall clock, on a thread of its own with absolute deadlines.

    The newest command is applied until it is HOLD_S old; then the robot stands still. Between
    episodes nothing moves.

    Args:
        simulation: touched by the thread only.
        show: called on that thread with each snapshot.
        finish: called on that thread at its end.
        failed: called on that thread with the error that ended it, if one did. The node is then
            of no more use.
        targets: commands of controllers, followed while there is no young :class:`Command`; None
            for a suite without.
    """

    def __init__(
        self,
        simulation: Simulation,
        show: Callable[[Snapshot], None],
        finish: Callable[[], None],
        failed: Callable[[Exception], None],
        targets: Targets | None = None,
    ) -> None:
        self._simulation = simulation
        self._show = show
        self._finish = finish
        self._failed = failed
        self._targets = targets
        self._standstill = Standstill(simulation.suite.action_fields)
        self._pacer = Pacer(simulation.suite.control_rate)
        self._requests: queue.SimpleQueue[tuple[Future[Snapshot], str, int, int] | None]
        self._requests = queue.SimpleQueue()
        self._command: tuple[Command, float] | None = None
        self._last: Array | None = None
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="simulation")

    @property
    def skipped(self) -> int:
        return self._pacer.skipped

    def start(self) -> None:
        self._thread.start()

    def reset(self, task: str, seed: int, max_steps: int) -> Snapshot:
        """Hand the reset to the simulation's thread and wait for it."""
        answer: Future[Snapshot] = Future()
        self._requests.put((answer, task, seed, max_steps))
        while True:
            try:
                return answer.result(timeout=0.1)
            except (TimeoutError, FutureTimeout):  # one and the same from Python 3.11 on
                if not self._thread.is_alive() and not answer.done():
                    raise TaskError("the simulation has stopped") from None

    def command(self, command: Command) -> None:
        self._command = (command, time.monotonic())

    def idle(self) -> None:
        """The thread looks after itself."""

    def stop(self) -> None:
        self._stopping = True
        self._requests.put(None)
        if self._thread.ident is not None:  # was started
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stopping:
                now = self._simulation.current
                running = now is not None and now.state is State.RUNNING
                self._serve(block=not running)
                if running and now is self._simulation.current:
                    self._pacer.wait()
                    self._show(self._advance())
        except Exception as error:  # a thread has nobody to raise to
            self._failed(error)
        try:
            self._simulation.close()
            self._finish()
        except Exception as error:
            self._failed(error)

    def _serve(self, block: bool) -> None:
        """Do a reset that is waiting; with ``block``, wait for one."""
        try:
            request = self._requests.get(block)
        except queue.Empty:
            return
        if request is None:
            return
        answer, task, seed, max_steps = request
        try:
            snapshot = self._simulation.reset(task, seed, max_steps)
            self._command = None
            self._last = None
            if self._targets is not None:
                self._targets.clear()
            self._show(snapshot)
        except LramError as error:
            answer.set_exception(error)
        except Exception as error:
            answer.set_exception(TaskError(f"task '{task}' failed to start: {error!r}"))
            raise
        else:
            answer.set_result(snapshot)
        self._pacer.restart()

    def _advance(self) -> Snapshot:
        """By the newest command of this episode while it is young, then by the controllers'
        targets, then at standstill."""
        now = self._simulation.current
        newest = self._command
        if newest is not None and now is not None and newest[0].episode == now.episode:
            self._last = newest[0].action
            if time.monotonic() - newest[1] <= HOLD_S:
                return self._simulation.step(self._last)
        if self._targets is not None and now is not None:
            action = followed(self._targets, now)
            if action is not None:
                return self._simulation.follow(action)
        return self._simulation.step(self._standstill.after(self._last))
