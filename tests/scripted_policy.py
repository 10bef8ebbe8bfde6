"""A policy that does as told, for tests of what is around a policy."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np

from lram_core.policy import Action
from lram_sim.metaworld import policy_contract

TIMINGS = ("tokenise", "step", "decode")
POLICY = policy_contract(target_returns={"default": 1500.0, "reach-v3": 1700.0}, context=50)


class Script:
    """Answers with ``next``, or raises it, and remembers what it was asked."""

    contract = POLICY
    return_to_go = 0.0
    runtime = SimpleNamespace(describe=lambda: "a script")

    def __init__(self):
        self.resets, self.calls, self.early, self.next = [], [], [], np.zeros(4)

    def warm_up(self):
        return 0.0

    def reset(self, task=None, target_return=None):
        self.resets.append((task, target_return))

    def observe_reward(self, reward):
        self.early.append(reward)

    def act(self, observation, reward):
        self.calls.append((observation.copy(), reward))
        if isinstance(self.next, Exception):
            raise self.next
        values = np.asarray(self.next, dtype=np.float64)
        return Action(values, np.zeros(4, dtype=np.int64), dict.fromkeys(TIMINGS, 0.0))
