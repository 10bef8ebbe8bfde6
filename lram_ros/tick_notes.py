"""What is kept of every tick: figures for diagnostics, rows for the black box. Free of ROS."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from lram_core.contract import PolicyContract
from lram_ros.black_box import BlackBox, Layout
from lram_ros.commander import Commander
from lram_ros.control import ActingPolicy, input_names
from lram_ros.robot_contract import RobotContract
from lram_ros.supervised_loop import Outcome
from lram_ros.tick_statistics import TickStatistics

STAGES = ("observe", "tokenise", "step", "decode", "publish", "total")


class TickNotes:
    """Notes of one activation.

    Attributes:
        loop: rate, ages, clipping, misses, of every tick.
        stages: durations of the stages, of ticks that asked the policy.
        box: the last ticks.
    """

    def __init__(
        self, robot: RobotContract, policy: ActingPolicy, commander: Commander, kept: int
    ) -> None:
        """``kept``: ticks of the black box."""
        names, actions = tuple(input_names(robot)), tuple(policy.contract.action_names)
        self.loop = TickStatistics(robot.control_rate, ("total",), names, actions)
        self.stages = TickStatistics(robot.control_rate, STAGES)
        layout = Layout(observation_names(policy.contract), actions, names, STAGES)
        self.box = BlackBox(layout, kept, {"contract": robot.source})
        self._policy, self._commander = policy, commander
        self._period = 1.0 / robot.control_rate
        self._ticks_a_second = max(1, round(robot.control_rate))
        self._count = 0
        self._norm = math.nan

    def add(
        self,
        outcome: Outcome,
        stamp: int,
        steady: float,
        start: float,
        ages: Sequence[float] = (),
        missed: int = 0,
        lateness: float = 0.0,
    ) -> None:
        """Note a tick.

        Args:
            outcome: what it came to.
            stamp: ROS time in nanoseconds.
            steady, start: when it began, by ``time.monotonic`` and by ``time.perf_counter``.
            ages: of the inputs in seconds, where the policy was not asked.
            missed, lateness: of the clock's tick.
        """
        total = outcome.published - start
        if self._count % self._ticks_a_second == 0:
            self._norm = state_norm(self._policy)
        self._count += 1
        tick, reason = outcome.tick, outcome.reason
        late = total > self._period
        if tick is None:
            known = ages if all(map(math.isfinite, ages)) else ()
            self.loop.add(steady, (total,), known, (), missed, late, self._norm)
            self.box.add(
                stamp,
                steady,
                commanded=self._commanded(outcome),
                ages=known or None,
                lateness=lateness,
                state_norm=self._norm,
                reason=reason,
            )
            return
        model = [tick.timings[name] for name in STAGES[1:4]]
        stages = [tick.observe_s, *model, outcome.published - tick.acted, total]
        self.loop.add(steady, (total,), tick.ages, tick.clipped, missed, late, self._norm)
        self.stages.add(steady, stages)
        self.box.add(
            stamp,
            steady,
            tick.episode,
            tick.number,
            tick.observation,
            tick.reward,
            tick.return_to_go,
            self._norm,
            tick.raw,
            self._commanded(outcome),
            tick.ages,
            stages,
            lateness,
            reason,
        )

    def _commanded(self, outcome: Outcome) -> Any:
        command = outcome.decision.command if outcome.sent else None
        return None if command is None else self._commander.by_action(command)


def state_norm(policy: ActingPolicy) -> float:
    """Euclidean norm of the recurrent state; NaN where the policy does not show it."""
    state = getattr(getattr(policy, "runtime", None), "state", None)
    if state is None:
        return math.nan
    squares = sum(float(np.square(v, dtype=np.float64).sum()) for v in state().values())
    return math.sqrt(squares)


def observation_names(contract: PolicyContract) -> tuple[str, ...]:
    """Name of each number of the observation, e.g. ``ee_position[2]@-1`` (one tick old)."""
    return tuple(
        f"{field.name}[{i}]" + (f"@-{field.delay}" if field.delay else "")
        for field in contract.observation
        for i in range(field.size)
    )
