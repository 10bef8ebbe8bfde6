"""Generates a demonstration out of segments of others, the idea of MimicGen.

See Mandlekar et al., "MimicGen: a data generation system for scalable robot learning using human
demonstrations", 2023; nothing here is taken from its code.

For each subtask a segment of a source demonstration is moved with its object to where the object
lies now, joined to where the hand is, and followed in closed loop. Whether that gives a success is
for the simulation to say.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from lram_core.errors import TaskError, listed
from lram_sim.poses import alike, apart, between, carried, joined, matrix
from lram_sim.robosuite_motion import Mover
from lram_sim.robosuite_target import Target, hand
from lram_sim.segments import Demonstration, Library, Segment, Segmented

Array = npt.NDArray[np.float64]

NEIGHBOURS = 3
"""The nearest demonstration is any of so many, so that another try at a start is another try."""

_RADIAN = 0.2
"""Distance (m) that counts as much as a radian: a path that is turned leaves the arm's reach sooner
than one that is shifted."""
_WAY, _TURN = 0.012, 0.12
"""Length (m, rad) of a tick's part of the way between segments: four fifths of what the controller
can do."""
_LEAD = 3
"""Ticks that a critically damped hand lags behind its goal."""
_NEAR, _TURNED = 0.01, 0.1
"""How much further (m, rad) from a tick's goal than the source's hand the hand may be."""
_PATIENCE = 8
"""Ticks it is waited for that."""
_SETTLE = 20
"""Ticks after a segment within which its signal must be raised."""


class SegmentReplay:
    """Drives one episode by the segments of source demonstrations.

    Attributes:
        finished: the segments are used up, or a subtask has failed: more ticks lead nowhere.
        used: numbers, in the source dataset, of the demonstrations whose segments were used.
    """

    def __init__(
        self,
        task: Segmented,
        library: Library,
        nearest: bool,
        rng: np.random.Generator,
        mixed: bool = False,
    ) -> None:
        """Args:
            task: just reset.
            library: the source demonstrations.
            nearest: take a demonstration whose objects lay about as they lie now; else any.
            rng: draws among the candidates.
            mixed: choose anew for each segment, instead of once an episode.

        Raises:
            TaskError: the demonstrations are of a task with other subtasks.
        """
        self._task, self._library, self._rng = task, library, rng
        self._nearest, self._mixed = nearest, mixed
        check_subtasks(task, library)
        self._mover = Mover(task.scene, task.mode, gain=1.0)
        self.finished = False
        self.used: list[int] = []
        self._targets = self._run()
        self._last: Target | None = None

    def act(self, observation: Array) -> Array:
        """Return the action for the simulation as it stands, float64 (action_size,)."""
        target = next(self._targets, None)
        self.finished = target is None
        if target is not None:
            self._last = target
        assert self._last is not None
        return self._mover.action(self._last)

    @property
    def source(self) -> str:
        """What the episode was made of, for the dataset's index."""
        return f"{self._library.dataset}: segments of episodes {listed(self.used)}"

    def _run(self) -> Iterator[Target]:
        """A target a tick; what it reads of the simulation is what the tick before has led to."""
        chosen: Demonstration | None = None
        for index, subtask in enumerate(self._task.subtasks):
            if chosen is None or self._mixed:
                chosen = self._choose(index)
            segment = chosen.segments[index]
            self.used.append(chosen.number)
            place = self._place(index, segment)
            hands = carried(segment.hands, segment.object, place)
            goals = carried(segment.goals, segment.object, place)
            yield from self._join(hands[0], float(segment.grips[0]))
            yield from self._follow(hands, goals, segment.grips)
            for _ in range(_SETTLE):
                if self._task.signal(subtask.ends):
                    break
                yield _target(goals[-1], float(segment.grips[-1]))
            else:
                return

    def _choose(self, index: int) -> Demonstration:
        """The demonstration to take subtask ``index``, and those after it, from."""
        candidates = list(self._library.demonstrations)
        if self._nearest:
            last = index + 1 if self._mixed else len(self._task.subtasks)
            candidates.sort(key=lambda d: sum(self._cost(k, d) for k in range(index, last)))
            candidates = candidates[:NEIGHBOURS]
        return candidates[int(self._rng.integers(len(candidates)))]

    def _cost(self, index: int, demonstration: Demonstration) -> float:
        segment = demonstration.segments[index]
        way, turn = apart(segment.object, self._place(index, segment))
        return way + _RADIAN * turn

    def _place(self, index: int, segment: Segment) -> Array:
        """(4, 4) pose of a subtask's object now, seen as near to the segment's as it can be."""
        subtask = self._task.subtasks[index]
        pose = matrix(self._task.object_poses()[subtask.object])
        return alike(pose, segment.object, subtask.symmetry)

    def _join(self, end: Array, grip: float) -> Iterator[Target]:
        """Go straight to where a segment begins."""
        start = joined(*hand(self._task.scene))
        way, turn = apart(start, end)
        count = int(np.ceil(max(way / _WAY, turn / _TURN)))
        if count <= 1:
            return
        path = np.stack([between(start, end, share) for share in np.linspace(0, 1, count + 1)])
        goals = path[np.minimum(np.arange(count) + 1 + _LEAD, count)]
        yield from self._follow(path, goals, np.full(count, grip))

    def _follow(self, hands: Array, goals: Array, grips: Array) -> Iterator[Target]:
        """Send the hand along a path; wait for it where it falls behind."""
        for expected, goal, grip in zip(hands[1:], goals, grips, strict=True):
            for _ in range(_PATIENCE):
                yield _target(goal, float(grip))
                way, turn = apart(joined(*hand(self._task.scene)), goal)
                most_way, most_turn = apart(expected, goal)
                if way < most_way + _NEAR and turn < most_turn + _TURNED:
                    break


def check_subtasks(task: Segmented, library: Library) -> None:
    """Raises TaskError unless the demonstrations have a segment for each subtask of ``task``."""
    found = len(library.demonstrations[0].segments)
    if found != len(task.subtasks):
        raise TaskError(
            f"demonstrations of '{library.task}' have {found} segments, task '{task.name}' has "
            f"{len(task.subtasks)} subtasks"
        )


def _target(pose: Array, grip: float) -> Target:
    return Target(pose[:3, 3], pose[:3, :3], grip)
