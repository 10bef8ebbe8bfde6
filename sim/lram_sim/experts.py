"""Scripted experts: Meta-World's own hand-written policies, one a task."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from metaworld.policies import ENV_POLICY_MAP

Array = npt.NDArray[np.float64]


class MetaworldExpert:
    """A Meta-World scripted policy whose actions are clipped to what is executed.

    They are also rounded to single precision, so that a recorded label equals the executed action.
    Make a new object for each episode: a policy is free to keep state.
    """

    def __init__(self, task: str) -> None:
        self._policy: Any = ENV_POLICY_MAP[task]()

    def act(self, observation: Array) -> Array:
        """Return the action for one observation, float64 (4,) within [-1, 1]."""
        with warnings.catch_warnings():
            # They warn at nearly every step that their gains saturate, which is by design.
            warnings.simplefilter("ignore")
            # The policies of the door tasks write into the observation they are given.
            action = np.asarray(self._policy.get_action(np.array(observation)), dtype=np.float32)
        return np.clip(action, -1.0, 1.0).astype(np.float64)
