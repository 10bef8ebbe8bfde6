"""The ticks of a black box through a policy once more: did it act as it does now?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.errors import DataError, listed
from lram_core.policy import Policy
from lram_ros.black_box import Recording
from lram_ros.tick_notes import observation_names

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BoxReplay:
    """A black box, and a policy's answers to it.

    Attributes:
        rows: (N,) numbers of the recording's ticks that asked the policy.
        recorded: float64 (N, actions), what it answered then.
        replayed: float64 (N, actions), what it answers now.
        known: bool (N,), whether the recurrent state of the tick is known: the episode's first
            tick is among those kept. Where it is not, the replay begins with an empty state in
            mid-episode, and its actions may differ for that reason alone.
    """

    rows: npt.NDArray[np.int64]
    recorded: Array
    replayed: Array
    known: npt.NDArray[np.bool_]

    @property
    def equal(self) -> npt.NDArray[np.bool_]:
        """(N,): all actions of the tick are the recorded ones, number for number."""
        same = (self.recorded == self.replayed) | (
            np.isnan(self.recorded) & np.isnan(self.replayed)
        )
        return np.asarray(same.all(axis=1))

    def summary(self) -> dict[str, Any]:
        """Counts, and the largest difference of an action, as plain data."""
        gap = np.abs(self.recorded - self.replayed)
        finite = gap[np.isfinite(gap)]
        return {
            "asked": len(self.rows),
            "with_known_state": int(self.known.sum()),
            "equal": int(self.equal.sum()),
            "equal_with_known_state": int((self.equal & self.known).sum()),
            "largest_difference": float(finite.max()) if finite.size else 0.0,
        }


def replay_black_box(recording: Recording, policy: Policy) -> BoxReplay:
    """Feed what a policy saw before a fault to a policy.

    Raises:
        DataError: the recording is of a policy with other observations or actions.
    """
    _check(recording, policy)
    ticks = recording.ticks
    asked = np.flatnonzero(np.isfinite(ticks["return_to_go"]))
    replayed = np.full((len(asked), len(recording.layout.actions)), math.nan)
    known = np.zeros(len(asked), dtype=np.bool_)
    before: tuple[int, int] | None = None
    sound = False
    for row, number in enumerate(asked):
        episode, tick = int(ticks["episode"][number]), int(ticks["tick"][number])
        to_go, reward = float(ticks["return_to_go"][number]), float(ticks["reward"][number])
        # A re-arm begins anew within an episode: the return to go is the whole one again.
        follows = before is not None and before[0] == episode and before[1] < tick
        if not (follows and policy.return_to_go - reward == to_go):
            policy.reset(target_return=to_go)
            sound = tick == 0 or follows
        before, known[row] = (episode, tick), sound
        replayed[row] = policy.act(ticks["observation"][number], reward).values
    return BoxReplay(asked, ticks["raw"][asked], replayed, known)


def _check(recording: Recording, policy: Policy) -> None:
    sides = {
        "observations": (recording.layout.observation, observation_names(policy.contract)),
        "actions": (recording.layout.actions, tuple(policy.contract.action_names)),
    }
    for what, (found, expected) in sides.items():
        if found != expected:
            only = [name for name in found if name not in expected]
            lacking = [name for name in expected if name not in found]
            raise DataError(
                f"the black box is of another policy: {what}: {len(found)} recorded, "
                f"{len(expected)} expected by the bundle; only recorded: "
                f"{listed(only or ['none'], 4)}; only expected: {listed(lacking or ['none'], 4)}"
            )
