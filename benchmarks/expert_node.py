"""A simulator's scripted expert in the place of a policy: a policy node that needs no bundle.

    python -m benchmarks.expert_node --ros-args -p bundle:=expert -p contract:=config/metaworld.yaml

Demonstrations can then be recorded through the same topics as on a robot.
"""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from lram_core.contract import PolicyContract
from lram_core.policy import Action
from lram_core.signals import StopRequest
from lram_ros.policy_node import PolicyNode
from lram_ros.process import run_node
from lram_sim.metaworld import MetaworldSuite, policy_contract


class ExpertPolicy:
    """A suite's experts behind the interface that the policy node has of a policy."""

    def __init__(self) -> None:
        self.contract: PolicyContract = policy_contract({"default": 0.0}, context=1)
        self.runtime = SimpleNamespace(describe=lambda: "scripted expert")
        self.return_to_go = 0.0
        self._suite = MetaworldSuite()
        self._tasks: dict[str, Any] = {}
        self._expert: Any = None

    def warm_up(self) -> float:
        return 0.0

    def reset(self, task: str | None = None, target_return: float | None = None) -> None:
        """Begin an episode of ``task`` with a new expert."""
        if task is None:
            return
        if task not in self._tasks:
            self._tasks[task] = self._suite.make(task)
        self._expert = self._tasks[task].expert()

    def observe_reward(self, reward: float) -> None:
        """An expert does not look at rewards."""

    def act(self, observation: npt.NDArray[np.float32], reward: float | None) -> Action:
        """Return the expert's action, rounded like an in-process demonstration's."""
        values = self._expert.act(observation.astype(np.float64))
        stages = dict.fromkeys(("tokenise", "step", "decode"), 0.0)
        return Action(values, np.zeros(len(values), dtype=np.int64), stages)


def start(stop: StopRequest) -> PolicyNode:
    """Return the node, active."""
    node = PolicyNode(lambda bundle, **options: ExpertPolicy())
    node.bring_up(lambda: bool(stop))
    return node


if __name__ == "__main__":
    sys.exit(run_node(start))
