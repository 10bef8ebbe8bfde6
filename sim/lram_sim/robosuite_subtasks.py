"""The subtasks of robosuite's core tasks, and the signals that end them."""

from __future__ import annotations

from typing import Any

from lram_core.errors import TaskError, listed
from lram_sim.robosuite_scene import UPRIGHT, Scene, xyzw
from lram_sim.subtasks import SUCCESS, Pose, Subtask

LIFTED = "lifted"
"""The object to be moved is clear of everything beside it."""

_LIFTED_TO = {
    "stack": 0.88,
    "pick-place-can": 0.92,
    "pick-place-milk": 0.945,
    "pick-place-bread": 0.905,
    "pick-place-cereal": 0.96,
    "nut-assembly-square": 0.953,
    "nut-assembly-round": 0.953,
}
"""Height (m) of the object's body from which on that is so: 6 cm above where it lies, a nut higher
than the pegs."""


def _pick_and(place: str, symmetry: int = 1) -> tuple[Subtask, ...]:
    return Subtask("object_1", LIFTED, symmetry), Subtask(place, SUCCESS)


SUBTASKS = {
    "lift": (Subtask("object_1", SUCCESS, symmetry=4),),
    "stack": (Subtask("object_1", LIFTED, symmetry=4), Subtask("object_2", SUCCESS, symmetry=4)),
    "pick-place-can": _pick_and("goal", symmetry=0),
    "pick-place-milk": _pick_and("goal", symmetry=2),
    "pick-place-bread": _pick_and("goal", symmetry=2),
    "pick-place-cereal": _pick_and("goal", symmetry=2),
    "nut-assembly-square": _pick_and("object_2"),
    "nut-assembly-round": _pick_and("object_2"),
    "door": (Subtask("object_1", SUCCESS),),
}
"""Task → its subtasks; objects are those of the observation's fields."""


class Signals:
    """Reads the object poses and signals of a task; see :class:`lram_sim.subtasks.Decomposed`."""

    def __init__(self, task: str, scene: Scene, env: Any) -> None:
        self._task, self._scene, self._env = task, scene, env
        self._names = [subtask.ends for subtask in SUBTASKS[task]]

    def object_poses(self) -> dict[str, Pose]:
        """Return object → pose, goal included."""
        data = self._scene.data
        poses = {"goal": Pose(self._scene.goal.copy(), UPRIGHT.copy())}
        for number, body in enumerate(self._scene.objects, start=1):
            if body is not None:
                orientation = xyzw(data.xquat[body], UPRIGHT)
                poses[f"object_{number}"] = Pose(data.xpos[body].copy(), orientation)
        return poses

    def raised(self, name: str) -> bool:
        """Tell whether a signal is raised now. Raises TaskError for one that does not exist."""
        if name not in self._names:
            raise TaskError(
                f"task '{self._task}' has no signal '{name}'; available: {listed(self._names)}"
            )
        if name == SUCCESS:
            return bool(self._env._check_success())
        return float(self._scene.data.xpos[self._scene.objects[0]][2]) > _LIFTED_TO[self._task]
