"""robomimic and Mimicgen HDF5: ``data/demo_i/{obs/<key>, actions, rewards, dones}``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from lram_core.contract import ActionField
from lram_core.data.importers.layout import Layout, SourceField
from lram_core.data.importers.source import (
    UNKNOWN,
    ImportOptions,
    base_schema,
    damaged,
    limits_of,
    needs,
)
from lram_core.data.schema import Episode
from lram_core.errors import DataError, listed

# The usual low-dimensional observation, in the order of Mimicgen's policies.
USUAL = ("robot0_eef_pos", "robot0_eef_quat", "robot0_gripper_qpos", "object")
_UNITS = (("_joint_pos", "rad"), ("_joint_vel", "rad/s"), ("eef_pos", "m"), ("_vel_lin", "m/s"))
# Composite controllers of robosuite with their action fields: a move of the hand in the
# controller's own units (-1 … 1), then the gripper.
_POSE = ("ee_dx", "ee_dy", "ee_dz", "ee_drx", "ee_dry", "ee_drz")
_POSITION = ("ee_dx", "ee_dy", "ee_dz")


class RobomimicSource:
    """A file of robomimic, or of Mimicgen, which adds to the same layout.

    Attributes: as in :class:`lram_core.data.importers.source.Source`.
    """

    format = "robomimic"

    def __init__(
        self,
        path: Path,
        options: ImportOptions,
        keys: tuple[str, ...] = (),
        mask: str = "",
        sparse_reward: bool = False,
    ) -> None:
        """Look through a file.

        Args:
            path: the HDF5 file.
            options: of the user.
            keys: observation keys, in order; by default the usual ones, where they are there,
                else all that are vectors.
            mask: name of a filter under ``mask/``, e.g. ``train``; empty for all episodes.
            sparse_reward: reward 1 at the last tick instead of the file's rewards.

        Raises:
            DataError: the file is no such file, is damaged, or lacks a key; names file and demo.
        """
        self.path = Path(path)
        self._h5 = needs("h5py", "reading HDF5")
        self._sparse = sparse_reward
        with damaged(str(self.path)), self._open() as file:
            demos = self._demos(file, mask)
            about = _environment(file, self.path)
            first = file[f"data/{demos[0]}"]
            if "obs" not in first:
                raise DataError(
                    f"{self.path}: data/{demos[0]} has no observations (obs), it has "
                    f"{listed(first)}; make them with robomimic's dataset_states_to_obs"
                )
            self._keys = _choose(first["obs"], keys, f"{self.path}: data/{demos[0]}")
            lows, highs = self._action_range(file, demos)
            group = first["obs"]
            fields = [SourceField(k, _width(group[k]), _unit(k)) for k in self._keys]
        kwargs = about.get("env_kwargs", {})
        task = options.tasks[0] if len(options.tasks) == 1 else str(about.get("env_name", UNKNOWN))
        self._task, self._demo_names, self.total = task, demos, len(demos)
        self._shaped = bool(kwargs.get("reward_shaping", False))
        found = base_schema(
            options,
            suite="robosuite",
            robot=_one(kwargs.get("robots", UNKNOWN)),
            gripper=_one(kwargs.get("gripper_types", UNKNOWN)),
            control_rate=kwargs.get("control_freq"),
            reward="reward 1 at the last tick" if sparse_reward else "reward of the environment",
            where=str(self.path),
        )
        actions = _action_fields(len(lows), about, options, limits_of(lows, highs))
        self._layout = Layout(str(self.path), fields, actions, found, options)
        self.schema = self._layout.schema
        self.notes = [*self._layout.notes]
        if found.gripper in (UNKNOWN, "default"):
            self.notes.append(
                "the file does not name the gripper (the robot's default); a policy for another "
                "gripper is refused only where the name is given with --gripper"
            )
        self.parameters = {"keys": list(self._keys), "mask": mask, "sparse_reward": sparse_reward}

    def episodes(self, first: int = 0) -> Iterator[Episode]:
        """Yield the demonstrations in the order of their numbers."""
        with self._open() as file:
            for number, name in enumerate(self._demo_names[first:], first):
                with damaged(f"{self.path}: data/{name}"):
                    episode = self._episode(file[f"data/{name}"], name, number)
                yield episode

    def _episode(self, demo: Any, name: str, number: int) -> Episode:
        where = f"{self.path}: data/{name}"
        actions = self._read(demo, "actions", where)
        rows = len(actions)
        parts = []
        for key in self._keys:
            if key not in demo["obs"]:
                raise DataError(f"{where}: no observation {key}; it has {listed(demo['obs'])}")
            parts.append(self._read(demo["obs"], key, where).reshape(rows, -1))
        rewards = np.zeros(rows, dtype=np.float32)
        if self._sparse:
            rewards[-1] = 1.0
        elif "rewards" in demo:
            rewards = self._read(demo, "rewards", where).astype(np.float32)
        else:
            raise DataError(f"{where}: no rewards; --sparse-reward gives 1 at the last tick")
        dones = self._read(demo, "dones", where) if "dones" in demo else np.zeros(rows)
        success = bool((dones > 0).any()) if self._shaped else bool((rewards > 0).any())
        return Episode(
            observations=self._layout.observations(np.concatenate(parts, 1)),
            actions=self._layout.actions(actions),
            rewards=rewards,
            task=self._task,
            seed=number,
            success=success,
            noise=0.0,
            source=where,
        )

    def _open(self) -> Any:
        if not self.path.is_file():
            raise DataError(f"{self.path}: no such file")
        try:
            return self._h5.File(self.path, "r")
        except OSError as error:
            raise DataError(f"{self.path}: not a whole HDF5 file ({error})") from None

    def _read(self, group: Any, key: str, where: str) -> Any:
        with damaged(f"{where}: {key}"):
            return group[key][()]

    def _demos(self, file: Any, mask: str) -> list[str]:
        if "data" not in file:
            raise DataError(
                f"{self.path}: no robomimic file (no group 'data'); it has {listed(file)}"
            )
        names = list(file["data"])
        if mask:
            masks = file.get("mask", {})
            if mask not in masks:
                raise DataError(f"{self.path}: no mask '{mask}'; there are {listed(masks)}")
            chosen = {n.decode() if isinstance(n, bytes) else str(n) for n in masks[mask][()]}
            names = [name for name in names if name in chosen]
        if not names:
            raise DataError(f"{self.path}: no demonstration in it")
        return sorted(names, key=_number)

    def _action_range(self, file: Any, demos: list[str]) -> tuple[Any, Any]:
        lows, highs = [], []
        for name in demos:
            where = f"{self.path}: data/{name}"
            actions = self._read(file[f"data/{name}"], "actions", where)
            if actions.ndim != 2 or not len(actions):
                raise DataError(f"{where}: actions have shape {actions.shape}, expected (T, size)")
            lows.append(actions.min(0))
            highs.append(actions.max(0))
        return np.min(lows, 0), np.max(highs, 0)


def _environment(file: Any, path: Path) -> dict[str, Any]:
    text = file["data"].attrs.get("env_args", file["data"].attrs.get("env_info", "{}"))
    try:
        about = json.loads(text)
    except ValueError:
        raise DataError(f"{path}: data.attrs['env_args'] is not JSON") from None
    return about if isinstance(about, dict) else {}


def _choose(group: Any, keys: tuple[str, ...], where: str) -> tuple[str, ...]:
    vectors = [name for name in group if group[name].ndim <= 2]
    if not keys:
        return USUAL if set(USUAL) <= set(vectors) else tuple(vectors)
    missing = [key for key in keys if key not in vectors]
    if missing:
        raise DataError(f"{where}: no observation {listed(missing)}; vectors are {listed(vectors)}")
    return keys


def _action_fields(
    size: int, about: dict[str, Any], options: ImportOptions, limits: list[tuple[float, float]]
) -> list[ActionField]:
    controller = _controller(about.get("env_kwargs", {}).get("controller_configs", {}))
    moves = {"OSC_POSE": _POSE, "OSC_POSITION": _POSITION}.get(controller.get("type", ""), ())
    if len(moves) + 1 != size:  # another controller, or several arms
        return [
            ActionField(f"action_{i}", options.unit, options.kind or "native", low, high)
            for i, (low, high) in enumerate(limits)
        ]
    steps = controller.get("output_max", [])
    fields = []
    for i, name in enumerate(moves):
        unit = options.unit
        if isinstance(steps, list) and len(steps) == len(moves):  # what 1 stands for
            unit = f"{float(steps[i]):g} {'rad' if name.startswith('ee_dr') else 'm'}"
        fields.append(ActionField(name, unit, options.kind or "cartesian_delta", *limits[i]))
    return [*fields, ActionField("gripper", "1", "gripper", *limits[-1])]


def _controller(config: Any) -> dict[str, Any]:
    """The arm's controller; newer releases have it inside a composite of all body parts."""
    if isinstance(config, list):
        config = config[0] if config else {}
    if not isinstance(config, dict):
        return {}
    if "body_parts" in config:
        arms = [part for name, part in config["body_parts"].items() if name in ("right", "arm")]
        return _controller(arms)
    return config


def _width(dataset: Any) -> int:
    return int(dataset.shape[1]) if dataset.ndim == 2 else 1


def _unit(key: str) -> str:
    return next((unit for end, unit in _UNITS if key.endswith(end)), "1")


def _one(value: Any) -> str:
    return str(value[0]) if isinstance(value, (list, tuple)) and value else str(value)


def _number(name: str) -> tuple[int, str]:
    digits = name.rpartition("_")[2]
    return (int(digits) if digits.isdigit() else 1 << 60, name)
