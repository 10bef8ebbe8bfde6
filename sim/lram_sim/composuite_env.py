"""Composuite's environments, made of robosuite's public parts and the shapes of this package.

Import it after :func:`lram_sim.robosuite_env.import_robosuite`, which keeps robosuite quiet.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from robosuite.environments.manipulation.manipulation_env import ManipulationEnv
from robosuite.models.arenas import EmptyArena
from robosuite.models.objects import CompositeObject
from robosuite.models.tasks import ManipulationTask
from robosuite.utils.mjcf_utils import CustomMaterial, new_body, new_geom

from lram_sim.composuite_shapes import (
    GOALS,
    THINGS,
    Furniture,
    Part,
    furniture,
    obstacle_furniture,
    placement,
)

_COLOURS = {
    "WoodLight": (0.80, 0.68, 0.50, 1.0),
    "WoodDark": (0.42, 0.29, 0.20, 1.0),
    "WoodBlue": (0.2, 0.2, 0.6, 0.6),
    "Bricks": (0.70, 0.32, 0.26, 1.0),
}
_REACH = 0.35
"""A placed object counts while the hand is near it: 1 - tanh(10 distance) above this (7.8 cm)."""


class Composuite(ManipulationEnv):
    """One task: an object, an obstacle and an objective, before one arm.

    Args:
        thing, obstacle, objective: see :mod:`lram_sim.composuite_names`.
        arguments: of robosuite's ManipulationEnv.
    """

    def __init__(self, thing: str, obstacle: str, objective: str, **arguments: Any) -> None:
        self.shape, self.obstacle, self.objective = THINGS[thing], obstacle, objective
        super().__init__(**arguments)

    def reward(self, action: Any = None) -> float:
        """Return 1 on success, else 0."""
        return float(self._check_success())

    def _load_model(self) -> None:
        super()._load_model()
        arm = self.robots[0].robot_model
        arm.set_base_xpos(arm.base_xpos_offset["bins"])
        arena = EmptyArena()
        arena.set_origin([0, 0, 0])
        wall = obstacle_furniture(self.obstacle)
        for body in (*furniture(self.objective), *((wall,) if wall else ())):
            arena.worldbody.append(_fixed(body))
        arena.worldbody.append(self._marker())
        self.thing = self._thing()
        self.model = ManipulationTask(
            mujoco_arena=arena,
            mujoco_robots=[robot.robot_model for robot in self.robots],
            mujoco_objects=[self.thing],
        )

    def _thing(self) -> CompositeObject:
        shape = self.shape
        material = CustomMaterial(
            texture=shape.texture,
            tex_name="thing_texture",
            mat_name="thing_material",
            tex_attrib={"type": "cube"},
            mat_attrib={"texrepeat": "1 1", "specular": "0.4", "shininess": "0.1"},
        )
        parts = shape.parts
        count = len(parts)
        thing = CompositeObject(
            name="thing",
            total_size=(shape.radius, shape.radius, max(-shape.bottom, shape.top)),
            geom_types=[part.shape for part in parts],
            geom_sizes=[part.size for part in parts],
            geom_locations=[part.at for part in parts],
            geom_frictions=[part.friction for part in parts],
            geom_condims=[4 if shape.stiff else 3] * count,
            geom_materials=["thing_material"] * count,
            density=1000.0,
            solref=(0.001, 1.0) if shape.stiff else (0.02, 1.0),
            solimp=(0.99, 0.99, 0.01) if shape.stiff else (0.9, 0.95, 0.001),
            locations_relative_to_center=True,
        )
        thing.append_material(material)
        return thing

    def _marker(self) -> Any:
        """Return the body that shows where the object is to go."""
        x, y, z = GOALS[self.objective]
        body = new_body("goal", (x, y, z - self.shape.bottom))
        for index, part in enumerate(self.shape.parts):
            body.append(_geom(f"goal_{index}", part, (0.2, 0.8, 0.2, 0.25), solid=False))
        return body

    def _setup_references(self) -> None:
        super()._setup_references()
        self.thing_body = self.sim.model.body_name2id(self.thing.root_body)

    def _reset_internal(self) -> None:
        super()._reset_internal()
        if self.deterministic_reset:
            return
        (x, y) = (self.rng.uniform(low, high) for low, high in placement(self.shape, self.obstacle))
        place = [x, y, 0.82 - self.shape.bottom, 1.0, 0.0, 0.0, 0.0]
        self.sim.data.set_joint_qpos(self.thing.joints[0], np.array(place))

    def lost(self) -> bool:
        """Tell whether the episode is over without success: a pushed object was lifted."""
        return self.objective == "push" and bool(self._place()[2] > 0.8 + 0.1)

    def _place(self) -> Any:
        return self.sim.data.body_xpos[self.thing_body]

    def _hand(self) -> Any:
        return self.sim.data.site_xpos[self.robots[0].eef_site_id["right"]]

    def _check_success(self) -> bool:
        place = self._place()
        if self.objective == "push":
            away = np.hypot(*(place[:2] - np.array(GOALS["push"][:2])))
            return bool(away <= 0.03 and not self.lost())
        if self.objective == "pickplace":
            near = 1.0 - np.tanh(10.0 * np.linalg.norm(self._hand() - place)) > _REACH
            return bool(near and _inside(place, (0.1, 0.18), (0.2, 0.175), (0.8, 0.9)))
        if self.objective == "shelf":
            return _inside(place, (0.1, 0.205), (0.2, 0.075), (0.945, 1.095))
        can = ((0.1, 0.18), (0.08, 0.08), (0.83, 0.93))
        return _inside(place, *can) and not _inside(self._hand(), *can)


def _inside(
    place: Any,
    middle: tuple[float, float],
    half: tuple[float, float],
    heights: tuple[float, float],
) -> bool:
    flat = np.abs(place[:2] - np.array(middle)) < np.array(half)
    return bool(flat.all() and heights[0] < place[2] < heights[1])


def _fixed(body: Furniture) -> Any:
    turn = (np.cos(body.turn / 2), 0.0, 0.0, np.sin(body.turn / 2))
    element = new_body(body.name, body.at, quat=turn)
    for index, part in enumerate(body.parts):
        element.append(_geom(f"{body.name}_{index}", part, _COLOURS[body.texture], solid=True))
    return element


def _geom(name: str, part: Part, colour: tuple[float, ...], solid: bool) -> Any:
    touch = {} if solid else {"contype": 0, "conaffinity": 0}
    return new_geom(
        name,
        part.shape,
        part.size,
        part.at,
        group=1,
        rgba=colour,
        friction=part.friction,
        **touch,
    )
