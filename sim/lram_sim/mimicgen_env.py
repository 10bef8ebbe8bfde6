"""The environments of the MimicGen tasks, made of robosuite's public parts and our own shapes.

Import it after :func:`lram_sim.robosuite_env.import_robosuite`, which keeps robosuite quiet.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from robosuite.environments.manipulation.manipulation_env import ManipulationEnv
from robosuite.models.arenas import TableArena
from robosuite.models.tasks import ManipulationTask
from robosuite.utils.mjcf_utils import new_body, new_element, new_geom, new_joint

from lram_sim.mimicgen_names import split_task
from lram_sim.mimicgen_rules import TABLE
from lram_sim.mimicgen_shapes import Body, Part
from lram_sim.mimicgen_starts import draw
from lram_sim.mimicgen_tasks import SPECS

_GAP = 0.001
"""Height (m) over the table at which bodies start."""


class Mimicgen(ManipulationEnv):
    """One task before one arm; the rules that judge it are in the task's table.

    Args:
        task: one of :func:`lram_sim.mimicgen_names.task_names`, with bodies of its own.
        arguments: of robosuite's ManipulationEnv.
    """

    def __init__(self, task: str, **arguments: Any) -> None:
        kind, variant = split_task(task)
        self.spec = SPECS[kind]
        self.ranges = self.spec.variants[variant]
        super().__init__(**arguments)

    def reward(self, action: Any = None) -> float:
        """Return 0: the suite judges, not the environment."""
        return 0.0

    def _load_model(self) -> None:
        super()._load_model()
        size = (0.8, 0.8, 0.05)
        arm = self.robots[0].robot_model
        arm.set_base_xpos(arm.base_xpos_offset["table"](size[0]))
        arena = TableArena(
            table_full_size=size, table_friction=(1, 0.005, 0.0001), table_offset=(0, 0, TABLE)
        )
        arena.set_origin([0, 0, 0])
        for body in self.spec.bodies:
            arena.worldbody.append(_element(body, top=True))
            for child in body.children:
                # MuJoCo lets what moves touch the standing body that it is part of.
                arena.contact.append(
                    new_element(
                        "exclude", f"{body.name}_{child.name}", body1=body.name, body2=child.name
                    )
                )
        self.model = ManipulationTask(
            mujoco_arena=arena,
            mujoco_robots=[robot.robot_model for robot in self.robots],
            mujoco_objects=[],
        )

    def _reset_internal(self) -> None:
        super()._reset_internal()
        if self.deterministic_reset:
            return
        model, data = self.sim.model._model, self.sim.data._data
        places = draw(self.rng, self.spec.bodies, self.ranges)
        for body, (x, y, turn) in zip(self.spec.bodies, places, strict=True):
            quaternion = [np.cos(turn / 2), 0.0, 0.0, np.sin(turn / 2)]
            if body.free:
                pose = [x, y, TABLE - body.bottom + _GAP, *quaternion]
                data.joint(f"{body.name}_joint").qpos[:] = pose
            else:
                model.body(body.name).pos[:] = x, y, TABLE - body.bottom
                model.body(body.name).quat[:] = quaternion
            for child in body.children:
                if child.joint is not None:
                    data.joint(f"{child.name}_joint").qpos[:] = child.joint.start


def _element(body: Body, top: bool) -> Any:
    element = new_body(body.name, body.at)
    name = f"{body.name}_joint"
    if body.free and top:
        element.append(new_element("joint", name, type="free", damping=0.0005))
    elif body.joint is not None:
        joint = body.joint
        element.append(
            new_joint(
                name,
                type=joint.kind,
                axis=joint.axis,
                range=joint.range,
                limited="true",
                damping=joint.damping,
                frictionloss=joint.friction,
            )
        )
    for index, part in enumerate(body.parts):
        element.extend(_geoms(f"{body.name}_{index}", part))
    for child in body.children:
        element.append(_element(child, top=False))
    return element


def _geoms(name: str, part: Part) -> tuple[Any, Any]:
    """Return what touches (group 0, which robosuite weighs) and what is seen (group 1)."""
    angle = float(np.linalg.norm(part.turn))
    axis = np.array(part.turn) / angle if angle else np.array([1.0, 0.0, 0.0])
    shape = {
        "type": part.shape,
        "size": part.size,
        "pos": part.at,
        "quat": (np.cos(angle / 2), *(np.sin(angle / 2) * axis)),
        "rgba": part.colour,
    }
    touch = new_geom(
        name,
        group=0,
        friction=part.friction,
        density=part.density,
        solimp=(0.998, 0.998, 0.001),
        solref=(0.02, 1.0),
        condim=4,
        **shape,
    )
    return touch, new_geom(f"{name}_visual", group=1, contype=0, conaffinity=0, **shape)
