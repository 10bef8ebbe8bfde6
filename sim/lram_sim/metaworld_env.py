"""Meta-World's environments, made repeatable and faster without changing a number.

An environment of Meta-World carries state over from one episode to the next: edits of the compiled
model (body and site positions), attributes computed at the last reset, arrays changed in place,
and NumPy's global random generator. :class:`EpisodeSource` puts all of it back before each reset.
"""

from __future__ import annotations

import copy
from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt
from gymnasium.utils import seeding
from metaworld.env_dict import ALL_V3_ENVIRONMENTS
from metaworld.sawyer_xyz_env import SawyerXYZEnv

_MODEL_ARRAYS = ("body_", "site_", "geom_", "jnt_", "dof_", "eq_", "actuator_", "qpos0")
_SHARED = frozenset({"model", "data", "mujoco_renderer"})


class _Lean:
    """Overrides for a Meta-World environment: the same numbers in less time."""

    _drawing: bool = False

    def _step_mujoco_simulation(self, ctrl: Any, n_frames: int) -> None:
        # The base class also computes body forces after each step, which no task reads.
        self.data.ctrl[:] = ctrl  # type: ignore[attr-defined]
        mujoco.mj_step(self.model, self.data, nstep=n_frames)  # type: ignore[attr-defined]

    def _reset_hand(self, steps: int = 50) -> None:
        # While a goal is drawn nothing needs to move: only the random vector is kept.
        super()._reset_hand(steps=0 if self._drawing else steps)  # type: ignore[misc]

    def touching_object(self, object_geom_id: int) -> bool:
        # The original walks over the contacts in Python, two thirds of a step's time.
        data: Any = self.data  # type: ignore[attr-defined]
        geoms = data.contact.geom
        if len(geoms) == 0:
            return False
        with_object = (geoms == object_geom_id).any(axis=1)
        for pad in ("leftpad_geom", "rightpad_geom"):
            rows = np.flatnonzero(with_object & (geoms == data.geom(pad).id).any(axis=1))
            forces = (data.efc_force[data.contact.efc_address[row]] for row in rows)
            if not sum(forces) > 0:
                return False
        return True


def build_env(task: str) -> SawyerXYZEnv:
    """Build the environment of a task that is known to exist, with its goal in the observation."""
    base = ALL_V3_ENVIRONMENTS[task]
    env: Any = type(f"Lean{base.__name__}", (_Lean, base), {})()
    env._partially_observable = False
    # The bounds of the observation are cached, and were computed for a hidden goal.
    env.__dict__.pop("sawyer_observation_space", None)
    env.observation_space = env.sawyer_observation_space
    env._set_task_called = True
    env.seeded_rand_vec = True
    lean: SawyerXYZEnv = env
    return lean


class EpisodeSource:
    """Resets an environment to the episode of a seed, independently of anything before."""

    def __init__(self, env: SawyerXYZEnv) -> None:
        self.env = env
        model, data = env.model, env.data
        self._arrays = {
            name: np.array(value)
            for name in dir(model)
            if name.startswith(_MODEL_ARRAYS)
            and isinstance(value := getattr(model, name), np.ndarray)
            and value.flags.writeable
        }
        # Attributes that are views into the simulation follow it by themselves.
        self._attributes = {
            key: value if key in _SHARED or _is_view(value) else copy.deepcopy(value)
            for key, value in env.__dict__.items()
        }
        self._live = frozenset(
            key for key, value in env.__dict__.items() if key in _SHARED or _is_view(value)
        )
        mujoco.mj_resetData(model, data)

    def reset(self, seed: int) -> npt.NDArray[np.float64]:
        """Return the first observation, float64 (39,), of the episode of ``seed``.

        The goal and the objects' places are drawn from the task's whole reset space.
        """
        env: Any = self.env
        self._restore()
        env.np_random, _ = seeding.np_random(seed)
        # First pass: draw the random vector, under the task's own rejection rule.
        mujoco.mj_resetData(env.model, env.data)
        mujoco.mj_forward(env.model, env.data)
        env._freeze_rand_vec, env._drawing = False, True
        env.reset_model()
        # Second pass: the real one. As in Meta-World the scene has been placed by the first, so
        # the hand's way to its start and the positions read there see the final scene.
        env._freeze_rand_vec, env._drawing = True, False
        env.curr_path_length = 0
        mujoco.mj_resetData(env.model, env.data)
        observation = np.asarray(env.reset_model(), dtype=np.float64).copy()
        env._prev_obs = observation[:18].copy()
        observation[18:36] = observation[:18]
        # Meta-World clips the observations of steps; at the reset it forgets to.
        bounds = env.sawyer_observation_space
        return np.clip(observation, bounds.low, bounds.high)

    def _restore(self) -> None:
        env = self.env
        for name, value in self._arrays.items():
            getattr(env.model, name)[:] = value
        attributes = env.__dict__
        for key in attributes.keys() - self._attributes.keys():
            del attributes[key]
        for key, value in self._attributes.items():
            attributes[key] = value if key in self._live else _fresh(value)


def _is_view(value: object) -> bool:
    return isinstance(value, np.ndarray) and value.base is not None


def _fresh(value: Any) -> Any:
    """Copy what a task might change in place; numbers and texts need none."""
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, (dict, list)):
        return copy.deepcopy(value)
    return value
