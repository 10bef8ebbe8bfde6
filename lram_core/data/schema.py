"""What a dataset says about its numbers, so that it cannot be read in the wrong order or unit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.contract import (
    ActionField,
    ObservationField,
    PolicyContract,
    RewardSpec,
    action_fields,
    observation_fields,
)
from lram_core.errors import DataError


@dataclass(frozen=True)
class DatasetSchema:
    """Fields, rate and robot of a dataset; a bundle's contract is built from it.

    Attributes: as in :class:`lram_core.contract.PolicyContract`.
    """

    suite: str
    robot: str
    gripper: str
    control_rate: float
    observation: tuple[ObservationField, ...]
    action: tuple[ActionField, ...]
    reward: RewardSpec
    max_episode_steps: int
    controller: str = ""

    @property
    def observation_size(self) -> int:
        return sum(field.size for field in self.observation)

    @property
    def action_size(self) -> int:
        return len(self.action)

    def contract(self, target_returns: Mapping[str, float], context: int) -> PolicyContract:
        """Return the contract of a policy trained on such data.

        Args:
            target_returns: return to ask for, by task, with a ``default``.
            context: length of a training window in control ticks.
        """
        same = {field.name: getattr(self, field.name) for field in fields(self)}
        return PolicyContract(target_returns=dict(target_returns), context=context, **same)

    @classmethod
    def of_contract(cls, contract: PolicyContract) -> DatasetSchema:
        """Return the schema of the data that a policy with this contract was trained on."""
        return cls(**{field.name: getattr(contract, field.name) for field in fields(cls)})

    def to_dict(self) -> dict[str, Any]:
        data = asdict(self)
        data["observation"] = [field.to_dict() for field in self.observation]
        data["action"] = list(data["action"])
        return data

    @classmethod
    def from_dict(cls, data: object) -> DatasetSchema:
        """Raises DataError for a missing key, ContractError for a bad field."""
        if not isinstance(data, Mapping):
            raise DataError(f"dataset schema: expected a mapping, found {type(data).__name__}")
        try:
            return cls(
                suite=str(data["suite"]),
                robot=str(data["robot"]),
                gripper=str(data["gripper"]),
                control_rate=float(data["control_rate"]),
                observation=observation_fields(data["observation"], "schema.observation"),
                action=action_fields(data["action"], "schema.action"),
                reward=RewardSpec.from_dict(data["reward"], "schema.reward"),
                max_episode_steps=int(data["max_episode_steps"]),
                controller=str(data.get("controller", "")),
            )
        except KeyError as error:
            raise DataError(f"dataset schema: key {error} is missing") from None


def schema_differences(found: DatasetSchema, expected: DatasetSchema) -> list[str]:
    """Return a text for each thing in which two schemas differ; none if they are the same."""
    different = []
    for part in fields(DatasetSchema):
        ours, theirs = getattr(found, part.name), getattr(expected, part.name)
        if ours == theirs:
            continue
        if part.name in ("observation", "action"):
            different += _field_differences(part.name, ours, theirs)
        else:
            different.append(f"{part.name} {_shown(ours)} instead of {_shown(theirs)}")
    return different


def _field_differences(kind: str, found: Sequence[Any], expected: Sequence[Any]) -> list[str]:
    ours, theirs = ({_key(f): f for f in side} for side in (found, expected))
    different = [f"{kind} field {key} is missing" for key in theirs if key not in ours]
    different += [f"{kind} field {key} is not expected" for key in ours if key not in theirs]
    for key in ours:
        if key in theirs and ours[key] != theirs[key]:
            parts = [
                f"{name} {value!r} instead of {getattr(theirs[key], name)!r}"
                for name, value in asdict(ours[key]).items()
                if value != getattr(theirs[key], name)
            ]
            different.append(f"{kind} field {key}: {', '.join(parts)}")
    return different or [f"{kind} fields in another order"]


def _key(field: Any) -> str:
    delay = getattr(field, "delay", 0)
    return f"{field.name} (delay {delay})" if delay else str(field.name)


def _shown(value: object) -> str:
    if isinstance(value, RewardSpec):
        return f"({value.definition!r}, scale {value.scale:g})"
    return repr(value)


@dataclass(frozen=True)
class Episode:
    """One demonstration of T control ticks.

    Attributes:
        observations: float32 (T, observation_size), what the policy sees before acting.
        actions: float32 (T, action_size), the label: the demonstrator's own action, without the
            perturbation that may have been executed in its place.
        rewards: float32 (T,), reward of the action that was executed.
        task: task name within the suite.
        seed: the seed that resets the task to this episode's start.
        success: whether the task's success flag was raised.
        noise: size of the perturbation of the executed actions (0: none).
        source: file, and place in it, that an imported episode came from.
    """

    observations: npt.NDArray[np.float32]
    actions: npt.NDArray[np.float32]
    rewards: npt.NDArray[np.float32]
    task: str
    seed: int
    success: bool
    noise: float
    source: str = ""

    @property
    def where(self) -> str:
        """What to call it in a message."""
        return self.source or f"episode {self.task} seed {self.seed}"

    def check(self) -> None:
        """Raises DataError unless the arrays agree in length and every number is finite."""
        length = len(self.rewards)
        if length == 0:
            raise DataError(f"{self.where}: it has no step")
        for name in ("observations", "actions", "rewards"):
            array = getattr(self, name)
            if len(array) != length or array.dtype != np.float32:
                raise DataError(
                    f"{self.where}: {name} is {array.dtype} of length "
                    f"{len(array)}, expected float32 of length {length}"
                )
            if not np.isfinite(array).all():
                step = int(np.argwhere(~np.isfinite(array))[0, 0])
                raise DataError(f"{self.where}: {name} is not finite at step {step}")
