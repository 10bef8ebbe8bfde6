"""What is to be seen when a table is wiped: the marks that are left, and the arm.

robosuite's rule: a mark is wiped when it lies within the wiper's lower face, and not lower than it
by 2 cm, at the end of a control tick in which something touches and the arm itself does not.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from lram_sim.robosuite_env import Arm
from lram_sim.robosuite_names import WIPE
from lram_sim.robosuite_scene import UPRIGHT, Scene

Array = npt.NDArray[np.float64]

MARK_SENSORS = (
    ("marks_left", 1, "1"),
    ("marks_radius", 1, "m"),
    ("marks_centroid", 3, "m"),
    ("nearest_mark", 3, "m"),
)
"""Share of the marks that are left, the circle about them, the one nearest to the wiper."""
_DEEP = 0.02
"""How far (m) a mark may be above the wiper's lower face."""
_AT_LIMIT = 0.1
"""Distance (rad) from a joint's limit within which the arm counts as being there."""


class WipeScene(Scene):
    """Reads Wipe's sensors out of the simulation.

    Attributes:
        left: (marks,) which marks are still there.
        stopped: the arm touches something, or a joint is at its limit: robosuite ends the episode.
    """

    def __init__(self, env: Any, arm: Arm) -> None:
        super().__init__(env, WIPE, arm)
        self.left = np.ones(len(self._marks), dtype=bool)
        self.stopped = False

    def _read_hand(self, hand: Any) -> None:
        """Find the corners of the wiper's lower face."""
        self.fingers = ()
        names = hand.important_geoms["corners"]
        self._corners = [self.model.geom(name).id for name in names]

    def _read_objects(self, env: Any, task: str) -> None:
        """Find the marks, and what may not touch anything."""
        self.objects, self.goal = [None, None], np.zeros(3)
        marks, model = env.model.mujoco_arena.markers, self.model
        self._marks = np.array([model.body(mark.root_body).id for mark in marks])
        self._dirt = np.array([model.geom(mark.visual_geoms[0]).id for mark in marks])
        arm = env.robots[0].robot_model.contact_geoms
        self._arm_geoms = np.array([model.geom(name).id for name in arm])

    def start(self) -> None:
        """Begin an episode: all marks are there."""
        self.left[:] = True
        self.stopped = False

    def wipe(self) -> None:
        """Take the marks away that have been wiped at the end of a control tick."""
        self.stopped = self._touches() or self._at_limit()
        if self.stopped or self.data.ncon == 0:
            return
        gone = self.left & self._under_wiper()
        self.left &= ~gone
        self.model.geom_rgba[self._dirt[gone], 3] = 0.0

    def marks(self) -> Array:
        """Return the positions (n, 3) of the marks that are left, m."""
        found: Array = self.data.xpos[self._marks[self.left]]
        return found

    def sensors(self) -> dict[str, Array]:
        data, marks, ee = self.data, self.marks(), self.data.site_xpos[self.grip_site].copy()
        centroid, nearest, radius = np.zeros(3), np.zeros(3), 0.0
        if len(marks):
            centroid = marks.mean(axis=0)
            nearest = marks[np.linalg.norm(marks - ee, axis=1).argmin()]
            radius = float(np.linalg.norm(marks - centroid, axis=1).max())
        return {
            "joint_position": data.qpos[self.arm_qpos],
            "joint_velocity": data.qvel[self.dofs],
            "ee_position": ee,
            "ee_orientation": self._hand_orientation(),
            "marks_left": np.array([len(marks) / len(self.left)]),
            "marks_radius": np.array([radius]),
            "marks_centroid": centroid,
            "nearest_mark": nearest,
        }

    def frames(self) -> dict[str, tuple[Array, Array]]:
        centroid = self.sensors()["marks_centroid"]
        return {**self._robot_frames(), "marks": (centroid, UPRIGHT.copy())}

    def _touches(self) -> bool:
        return bool(np.isin(self.data.contact.geom, self._arm_geoms).any())

    def _at_limit(self) -> bool:
        q, (low, high) = self.arm_positions(), self.arm_range.T
        return bool(((q <= low + _AT_LIMIT) | (q >= high - _AT_LIMIT)).any())

    def _under_wiper(self) -> npt.NDArray[np.bool_]:
        """Whether each mark lies within the wiper's lower face."""
        first, second, _, fourth = self.data.geom_xpos[self._corners]
        length, width = first - second, fourth - second
        ways = self.data.xpos[self._marks] - second
        sizes = np.array([np.linalg.norm(length), np.linalg.norm(width), _DEEP])
        along, across = length / sizes[0], width / sizes[1]
        places = ways @ np.column_stack((along, across, np.cross(along, across)))
        found: npt.NDArray[np.bool_] = ((places > 0) & (places < sizes)).all(axis=1)
        return found
