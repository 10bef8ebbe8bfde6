"""Experts of DMControl: networks trained by ``lram train-expert``, control laws where one suffices.

All see the observation alone, in the layout of their suite, and keep no memory.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open

from lram_core.contract import ObservationField
from lram_core.errors import DataError, TaskError, listed
from lram_sim.dmcontrol_layouts import EMBODIMENTS

Array = npt.NDArray[np.float64]
Law = Callable[[dict[str, Array]], Array]

FOLDER = Path(__file__).parent / "expert_weights"


class DMControlExpert:
    """An expert in the layout of its suite; its actions are clipped to what is executed.

    They are also rounded to single precision, so that a recorded label equals the executed action.

    Args:
        task: full name, e.g. ``cartpole-swingup``.
        layout: fields of the observations it will be given.
        actions: number of actions; those beyond the robot's actuators stay zero.

    Raises:
        TaskError: the task has no expert.
    """

    def __init__(self, task: str, layout: tuple[ObservationField, ...], actions: int) -> None:
        if task not in EXPERTS:
            raise TaskError(f"task '{task}' has no expert; tasks with one: {listed(EXPERTS)}")
        self._law = EXPERTS[task]()
        self._actions = actions
        ends = np.cumsum([field.size for field in layout])
        starts = {f.name: int(end) - f.size for f, end in zip(layout, ends, strict=True)}
        own = EMBODIMENTS[task.split("-")[0]].observation
        self._parts = {f.name: slice(starts[f.name], starts[f.name] + f.size) for f in own}

    def act(self, observation: Array) -> Array:
        """Return the action for one observation, float64 (actions,) within [-1, 1]."""
        own = self._law({name: observation[part] for name, part in self._parts.items()})
        action = np.zeros(self._actions)
        action[: own.size] = np.clip(own, -1.0, 1.0).astype(np.float32)
        return action


Layers = list[tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]]


class Network:
    """An actor: ReLU layers and a tanh at the end, in single precision.

    Args:
        layers: weights (in, out) and biases (out,), from the observation to the action.
    """

    def __init__(self, layers: Layers) -> None:
        self.layers = layers

    @classmethod
    def load(cls, path: Path) -> Network:
        """Read what :func:`lram_sim.train_expert.export` wrote.

        Raises:
            DataError: the file is missing or something else.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise DataError(f"{path}: no expert's weights ({error})") from None
        count = len(tensors) // 2
        wanted = {f"{kind}_{i}" for kind in ("weight", "bias") for i in range(count)}
        if not count or set(tensors) != wanted:
            raise DataError(f"{path}: no expert's weights; it holds {listed(sorted(tensors))}")
        return cls([(tensors[f"weight_{i}"], tensors[f"bias_{i}"]) for i in range(count)])

    def act(self, observation: Array) -> Array:
        """Return the action, float64 (actions,), for an observation (in,)."""
        x = observation.astype(np.float32)
        for weight, bias in self.layers[:-1]:
            x = np.maximum(x @ weight + bias, 0.0)
        weight, bias = self.layers[-1]
        return np.tanh(x @ weight + bias).astype(np.float64)


@lru_cache
def _network(name: str) -> Law:
    network = Network.load(FOLDER / f"{name}.safetensors")
    return lambda readings: network.act(np.concatenate(list(readings.values())))


def point_mass(readings: dict[str, Array]) -> Array:
    """Proportional-derivative control to the origin: full force until shortly before it."""
    return -120.0 * readings["position"] - 25.0 * readings["velocity"]


_REACHER_LINK = 0.12


def reacher(readings: dict[str, Array]) -> Array:
    """Proportional control to the nearer of the two postures that touch the target."""
    shoulder, wrist = readings["position"]
    tip = _REACHER_LINK * np.array(
        [
            np.cos(shoulder) + np.cos(shoulder + wrist),
            np.sin(shoulder) + np.sin(shoulder + wrist),
        ]
    )
    x, y = tip + readings["to_target"]
    # Both links are equally long, so the wrist is bent symmetrically about the target's direction.
    cosine = (x * x + y * y) / (2 * _REACHER_LINK**2) - 1.0
    bend = float(np.arccos(np.clip(cosine, -1.0, 1.0)))
    errors = [
        np.array([_wrapped(np.arctan2(y, x) - goal / 2 - shoulder), goal - wrist])
        for goal in (bend, -bend)
    ]
    error = min(errors, key=lambda e: float(np.abs(e).max()))
    return 4.0 * error - 0.3 * readings["velocity"]


def _wrapped(angle: float) -> float:
    return float((angle + np.pi) % (2 * np.pi) - np.pi)


# Inertia (kg m²) and largest torque of gravity (N m) of the pendulum; the motor has 1 N m.
_PENDULUM_INERTIA, _PENDULUM_GRAVITY = 0.251, 4.905
_PENDULUM_RATE = float(np.sqrt(_PENDULUM_GRAVITY / _PENDULUM_INERTIA))


def pendulum(readings: dict[str, Array]) -> Array:
    """Pump energy until the pole can be caught with the motor's torque, then balance it."""
    cosine, sine = readings["orientation"]
    speed = float(readings["velocity"][0])
    angle = float(np.arctan2(sine, cosine))
    # The mode that leaves the upright position: beyond this the motor cannot turn it round.
    if abs(angle + speed / _PENDULUM_RATE) < 0.9 / _PENDULUM_GRAVITY:
        return np.array([-12.0 * angle - 2.5 * speed])
    energy = 0.5 * _PENDULUM_INERTIA * speed**2 + _PENDULUM_GRAVITY * (cosine - 1.0)
    # From a standstill any direction will do.
    return np.array([np.clip(-4.0 * energy, -1.0, 1.0) * (1.0 if speed >= 0 else -1.0)])


# Task → how to make what maps readings to an action. All are stateless; networks are read once.
EXPERTS: dict[str, Callable[[], Law]] = {
    "cartpole-swingup": lambda: _network("cartpole-swingup"),
    "cartpole-balance": lambda: _network("cartpole-swingup"),
    "walker-stand": lambda: _network("walker-stand"),
    "point_mass-easy": lambda: point_mass,
    "reacher-easy": lambda: reacher,
    "reacher-hard": lambda: reacher,
    "pendulum-swingup": lambda: pendulum,
}
