"""What the supervisor is told about the world at a tick, and what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import numpy as np

from lram_core.errors import ContractError
from lram_ros.safety.clock_check import ClockState, ClockVerdict
from lram_ros.safety.limits import Array, SafetyLimits
from lram_ros.safety.reasons import Fault, Reason


class Request(Enum):
    """What somebody asks of the supervisor at a tick."""

    NONE = "none"
    ACTIVATE = "activate"
    DEACTIVATE = "deactivate"
    REARM = "rearm"


@dataclass(frozen=True)
class Source:
    """An input that every command rests on.

    Attributes:
        name: its topic.
        age: of the newest reading in seconds, by its arrival at least; infinite if none came;
            negative if its stamp lies that far ahead, so that its age cannot be told.
        max_age: oldest allowed, and furthest ahead; may be infinite, then it must have come once.
    """

    name: str
    age: float
    max_age: float

    @property
    def fresh(self) -> bool:
        return -self.max_age <= self.age <= self.max_age  # NaN is stale

    def __str__(self) -> str:
        if self.age < 0:
            return f"{self.name} is stamped {-self.age:.3g} s ahead (at most {self.max_age:g})"
        return f"{self.name} is {self.age:.3g} s old (at most {self.max_age:g})"


@dataclass(frozen=True, eq=False)
class World:
    """One tick's view of everything but the policy.

    Attributes:
        now: time of the tick in seconds: steady time, or ticks · period where a simulator waits
            for each command (lockstep).
        sources: every required input.
        position: float64 (size,): measured position of each command field, in the unit of its
            position limits (for the fields of a workspace: the tool's x, y, z); NaN where nothing
            measures it. None: nothing is measured.
        tool: measured (x, y, z) of the tool in m, where the limits have a workspace.
        clock: verdict on ROS time; fine where nobody reads it.
        command_publishers: publishers on the command topic, this node's among them; None: not
            looked at.
        lost, ambiguous: required topics without a publisher, and with more than one.
        invalid: what is malformed or not finite in the newest inputs; empty: nothing.
        external_stop: the external stop topic says stop.
        watchdog: what the watchdog found since it was last armed; empty: nothing.
        runner_error: what the loop or the policy raised; empty: nothing.
        request: what is asked for.
    """

    now: float
    sources: Sequence[Source] = ()
    position: Array | Sequence[float] | None = None
    tool: Sequence[float] | None = None
    clock: ClockVerdict = ClockVerdict()  # noqa: RUF009 - frozen
    command_publishers: int | None = None
    lost: Sequence[str] = ()
    ambiguous: Sequence[str] = ()
    invalid: str = ""
    external_stop: bool = False
    watchdog: str = ""
    runner_error: str = ""
    request: Request = Request.NONE


_CLOCK = {
    ClockState.BACK: Reason.CLOCK_BACK,
    ClockState.FORWARD: Reason.CLOCK_FORWARD,
    ClockState.FROZEN: Reason.CLOCK_FROZEN,
}
# These latch even while nothing moves and the robot is only waiting to start.
ALWAYS = (Reason.EXTERNAL_STOP, Reason.RUNNER_FAILED, Reason.WATCHDOG)
_WALL_MARGIN = 0.02  # of the way between the walls


def faults(limits: SafetyLimits, world: World) -> list[Fault]:
    """Return everything that is wrong with the world by itself; empty: nothing.

    Raises:
        ContractError: ``position`` has another size than the command.
    """
    if world.position is not None and np.shape(world.position) != (limits.size,):
        raise ContractError(
            f"safety supervisor: position has shape {np.shape(world.position)}, expected "
            f"({limits.size},)"
        )
    found = []
    if world.external_stop:
        found.append(Fault(Reason.EXTERNAL_STOP))
    if world.runner_error:
        found.append(Fault(Reason.RUNNER_FAILED, world.runner_error))
    if world.watchdog:
        found.append(Fault(Reason.WATCHDOG, world.watchdog))
    if world.clock.state is not ClockState.FINE:
        found.append(Fault(_CLOCK[world.clock.state], f"ROS time {world.clock}"))
    if world.command_publishers is not None and world.command_publishers > 1:
        detail = f"{world.command_publishers} publishers on the command topic, expected 1"
        found.append(Fault(Reason.SECOND_PUBLISHER, detail))
    if world.ambiguous:
        detail = f"more than one publisher on {', '.join(world.ambiguous)}"
        found.append(Fault(Reason.INPUT_AMBIGUOUS, detail))
    if world.lost:
        found.append(Fault(Reason.PUBLISHER_LOST, f"no publisher on {', '.join(world.lost)}"))
    found += _inputs(limits, world)
    if world.invalid:
        found.append(Fault(Reason.INPUT_INVALID, world.invalid))
    outside = _outside(limits, world)
    if outside:
        found.append(Fault(Reason.OUTSIDE_LIMITS, outside))
    return found


def _inputs(limits: SafetyLimits, world: World) -> list[Fault]:
    missing = [source.name for source in world.sources if source.age == math.inf]
    stale = [str(source) for source in world.sources if source.age != math.inf and not source.fresh]
    if limits.measured.any():
        unknown = limits.measured
        if world.position is not None:
            unknown = unknown & ~np.isfinite(world.position)
        missing += [
            f"measured position of {field.name}"
            for field, lacks in zip(limits.fields, unknown, strict=True)
            if lacks
        ]
    if limits.workspace is not None and not _is_point(world.tool):
        missing.append("measured position of the tool")
    found = []
    if missing:
        found.append(Fault(Reason.INPUT_MISSING, f"{', '.join(missing)} missing"))
    if stale:
        found.append(Fault(Reason.INPUT_STALE, ", ".join(stale)))
    return found


def _is_point(tool: Sequence[float] | None) -> bool:
    return tool is not None and len(tool) == 3 and all(math.isfinite(value) for value in tool)


def _outside(limits: SafetyLimits, world: World) -> str:
    parts = []
    if world.position is not None and limits.walled.any():
        low, high, _ = limits.walls
        width = high - low
        margin = np.where(np.isfinite(width), _WALL_MARGIN * width, 0.0)
        position = np.asarray(world.position, dtype=np.float64)
        beyond = limits.walled & ((position < low - margin) | (position > high + margin))
        parts += [
            f"{limits.fields[i].name} is at {position[i]:.4g} (limits {low[i]:g} … {high[i]:g})"
            for i in np.flatnonzero(beyond)
        ]
    box = limits.workspace
    if box is not None and world.tool is not None and _is_point(world.tool):
        parts += [
            f"tool {axis} is at {value:.4g} m (workspace {low:g} … {high:g})"
            for axis, value, low, high in zip("xyz", world.tool, box.low, box.high, strict=True)
            if max(low - value, value - high) > _WALL_MARGIN * (high - low)
        ]
    return ", ".join(parts)
