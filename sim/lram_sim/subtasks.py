"""What a manipulation task is made of: stretches of motion, each relative to one object.

A demonstration of such a task can be cut at the ends of its subtasks; each piece, told in the frame
of its subtask's object, can be replayed where the object lies in another episode (Mandlekar et al.
2023, MimicGen).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

SUCCESS = "success"
"""The signal that ends the last subtask: the task's success."""


@dataclass(frozen=True)
class Subtask:
    """A stretch of motion relative to one object.

    Attributes:
        object: whose frame the hand's motion belongs to; a key of ``object_poses()``.
        ends: the signal that is raised at its end; ``SUCCESS`` for the last one.
        symmetry: how often the object looks the same in a turn about its own z axis; 0 for one
            that is round.
    """

    object: str
    ends: str
    symmetry: int = 1


@dataclass(frozen=True)
class Pose:
    """Where a body is, in the world.

    Attributes:
        position: (3,) m.
        orientation: (4,) unit quaternion x, y, z, w; either sign.
    """

    position: Array
    orientation: Array


@runtime_checkable
class Decomposed(Protocol):
    """What a :class:`lram_sim.suite.Task` also offers where its subtasks are declared."""

    @property
    def subtasks(self) -> tuple[Subtask, ...]:
        """The subtasks, in order; their signals are raised one after the other."""
        ...

    def object_poses(self) -> dict[str, Pose]:
        """Return object → pose now, of each object that a subtask refers to."""
        ...

    def signal(self, name: str) -> bool:
        """Tell whether a signal is raised now.

        Raises:
            TaskError: no subtask ends with it; lists those there are.
        """
        ...
