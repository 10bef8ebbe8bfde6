"""A command with every kind of field, and an ideal robot, for tests of the safety supervisor."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from lram_ros.safety import (
    ClockState,
    ClockVerdict,
    FieldLimits,
    Mode,
    Reason,
    Request,
    Rules,
    SafetyLimits,
    Source,
    State,
    World,
    supervise,
    wants_proposal,
)

PERIOD = 0.02
FIELDS = (
    FieldLimits("shoulder", "joint_position", -1.0, 2.0, 1.0, 4.0, 0.02, max_lag=0.5),
    FieldLimits("finger", "gripper", 0.0, 1.0, 2.0, math.inf, 0.04),
    FieldLimits("wheel", "joint_velocity", -0.8, 1.0, 0.9, 3.0, math.inf),
    FieldLimits("elbow", "joint_delta", -0.02, 0.02, 0.75, 3.0, 0.5),
    FieldLimits(
        *("ee_x", "cartesian_delta", -1.0, 1.0, 30.0, 120.0, 0.9),
        position_low=-0.1,
        position_high=0.2,
        scale=0.01,
    ),
    FieldLimits("yaw", "twist", -1.0, 1.0, 1.0, 2.0, math.inf),
    FieldLimits("torque", "joint_effort", -5.0, 9.0, 20.0, math.inf, 0.3, rest=1.5),
    FieldLimits("knob", "native", -1.0, 1.0, math.inf, math.inf, math.inf, rest=0.0),
)
LIMITS = SafetyLimits(FIELDS, PERIOD)
INDEX = {field.name: i for i, field in enumerate(FIELDS)}
MIDDLE = np.array([0.3, 0.5, 0.4, 0.005, 0.3, -0.2, 2.0, 0.25])
FINE = (Source("joint_states", 0.001, 0.1), Source("camera", 0.02, 0.2))


def joints(count: int = 1, **changes) -> SafetyLimits:
    """Limits of position-controlled joints alone."""
    return SafetyLimits(tuple(replace(FIELDS[0], **changes) for _ in range(count)), PERIOD)


@dataclass
class Robot:
    """Follows every command at once; ``position`` is what it measures."""

    limits: SafetyLimits
    position: np.ndarray

    def obey(self, command: np.ndarray) -> None:
        scale = self.limits.walls[2]
        joint = np.array([field.kind == "joint_position" for field in self.limits.fields])
        self.position = np.where(joint, command, self.position)
        moved = self.position + command * scale
        self.position = np.where(self.limits.delta, moved, self.position)


class Loop:
    """A control loop around the supervisor, tick by tick; keeps what was decided."""

    def __init__(self, limits: SafetyLimits = LIMITS, **rules) -> None:
        rules = {"blend_s": 0.1, "proof_s": 0.06, **rules}
        self.rules = Rules(limits, **rules)
        self.robot = Robot(limits, np.zeros(limits.size))
        self.state = State()
        self.now = 100.0
        self.asked = 0

    def world(self, **changes) -> World:
        base = World(self.now, FINE, self.robot.position, command_publishers=1)
        return replace(base, **changes)

    def tick(self, proposed=None, dt: float = PERIOD, obey: bool = True, **changes):
        """Advance by ``dt``; ``proposed`` may be a function of nothing, asked when wanted."""
        self.now += dt
        world = self.world(**changes)
        if callable(proposed):
            wanted = wants_proposal(self.rules, self.state, world)
            self.asked += wanted
            proposed = proposed() if wanted else None
        self.state, decision = supervise(self.rules, self.state, world, proposed)
        if decision.command is not None and obey:
            self.robot.obey(decision.command)
        return decision

    def until(self, mode: Mode, proposed=None, ticks: int = 300, **changes):
        """Tick until a mode is reached; the last decision."""
        for _ in range(ticks):
            decision = self.tick(proposed, **changes)
            if decision.mode is mode:
                return decision
        raise AssertionError(f"{mode} not reached in {ticks} ticks, it is {decision.mode}")


CAUSES = {
    Reason.EXTERNAL_STOP: {"external_stop": True},
    Reason.RUNNER_FAILED: {"runner_error": "ValueError: no such joint"},
    Reason.WATCHDOG: {"watchdog": "no tick for 1 s"},
    Reason.TICK_TIME: {"now": math.nan},
    Reason.CLOCK_BACK: {"clock": ClockVerdict(ClockState.BACK, 2.0)},
    Reason.CLOCK_FORWARD: {"clock": ClockVerdict(ClockState.FORWARD, 2.0)},
    Reason.CLOCK_FROZEN: {"clock": ClockVerdict(ClockState.FROZEN, 0.7)},
    Reason.SECOND_PUBLISHER: {"command_publishers": 2},
    Reason.INPUT_AMBIGUOUS: {"ambiguous": ("camera",)},
    Reason.PUBLISHER_LOST: {"lost": ("camera",)},
    Reason.INPUT_MISSING: {"sources": (FINE[0], Source("camera", math.inf, math.inf))},
    Reason.INPUT_STALE: {"sources": (FINE[0], Source("camera", 0.201, 0.2))},
    Reason.INPUT_INVALID: {"invalid": "camera: 3 pixels"},
    Reason.OUTSIDE_LIMITS: {"position": np.full(LIMITS.size, 0.5)},  # ee_x: outside of its box
}


def running(limits=LIMITS, proposed=MIDDLE, **rules):
    """A loop in mode running, well on its way."""
    loop = Loop(limits, **rules)
    loop.tick(request=Request.ACTIVATE)
    loop.until(Mode.RUNNING, proposed)
    for _ in range(3):
        loop.tick(proposed)
    return loop


def holding(cause):
    """A loop that a cause has stopped; it is latched."""
    loop = running()
    loop.tick(MIDDLE, **cause)
    loop.until(Mode.HOLDING)
    return loop
