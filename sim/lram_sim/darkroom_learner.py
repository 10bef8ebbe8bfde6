"""An agent that learns one Dark-Room from nothing: its life is a learning history.

Proximal policy optimisation (Schulman et al., 2017) with its clipped objective and generalised
advantages; the policy and the value function are tables, a row a cell, so that the agents of all
goals learn side by side in a few array operations.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional as F

from lram_sim.darkroom import CELLS, MOVES, TRIAL_STEPS, DarkRooms


@dataclass(frozen=True)
class PPO:
    """Settings of the learner.

    Attributes:
        trials: of an update. epochs: passes over them.
        lr: of Adam on the tables. clip: of the probability ratio.
        gamma, gae_lambda: of returns and advantages. entropy: weight of the entropy bonus.
    """

    trials: int = 5
    epochs: int = 4
    lr: float = 0.02
    clip: float = 0.2
    gamma: float = 0.99
    gae_lambda: float = 0.95
    entropy: float = 0.01


@dataclass(frozen=True)
class Histories:
    """What N agents did in all of their trials, in order.

    Attributes:
        cells: (trials, TRIAL_STEPS, N) where they were before each move. moves: the same shape.
        rewards: float32, of each move.
    """

    cells: npt.NDArray[np.uint8]
    moves: npt.NDArray[np.uint8]
    rewards: npt.NDArray[np.float32]


def learn(
    goals: npt.ArrayLike,
    trials: int,
    seed: int,
    ppo: PPO | None = None,
    on_progress: Callable[[int], None] = lambda trials: None,
) -> Histories:
    """Let an agent learn each of N goals.

    Args:
        goals: (N,) cells.
        trials: of each agent; the paper's 100,000 transitions are 1000.
        seed: the histories are a function of it and of the goals.
        ppo: settings.
        on_progress: called with the number of trials just played.
    """
    ppo = ppo or PPO()
    rooms = DarkRooms(goals)
    count = len(rooms.goals)
    rng = np.random.default_rng(seed)
    logits = torch.zeros(count, CELLS, len(MOVES), requires_grad=True)
    values = torch.zeros(count, CELLS, requires_grad=True)
    optimizer = torch.optim.Adam([logits, values], lr=ppo.lr)
    shape = (trials, TRIAL_STEPS, count)
    history = Histories(
        np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), np.zeros(shape, np.float32)
    )
    for first in range(0, trials, ppo.trials):
        played = slice(first, min(first + ppo.trials, trials))
        after = _play(rooms, logits.detach(), rng, history, played)
        _update(ppo, logits, values, optimizer, history, played, after)
        on_progress(played.stop - played.start)
    return history


def _play(
    rooms: DarkRooms,
    logits: torch.Tensor,
    rng: np.random.Generator,
    history: Histories,
    played: slice,
) -> npt.NDArray[np.int64]:
    """Play some trials with a fixed policy; returns the cells after each trial, (trials, N)."""
    chances = torch.softmax(logits, -1).cumsum(-1).numpy()
    each = np.arange(len(rooms.goals))
    after = []
    for trial in range(played.start, played.stop):
        cells = rooms.reset()
        for step in range(TRIAL_STEPS):
            drawn = rng.random((len(each), 1))
            moves = (drawn > chances[each, cells]).sum(1).clip(max=len(MOVES) - 1)
            history.cells[trial, step], history.moves[trial, step] = cells, moves
            cells, history.rewards[trial, step] = rooms.step(moves)
        after.append(cells)
    return np.stack(after)


def _update(
    ppo: PPO,
    logits: torch.Tensor,
    values: torch.Tensor,
    optimizer: torch.optim.Optimizer,
    history: Histories,
    played: slice,
    after: npt.NDArray[np.int64],
) -> None:
    """Improve all agents on their last trials."""
    cells = torch.from_numpy(history.cells[played].astype(np.int64))
    moves = torch.from_numpy(history.moves[played].astype(np.int64))
    rewards = torch.from_numpy(history.rewards[played])
    each = torch.arange(cells.shape[-1]).expand_as(cells)
    with torch.no_grad():
        value = values[each, cells]
        # A trial ends by time, not in a last state: what would have come after it counts.
        following = values[each[:, 0], torch.from_numpy(after)]
        advantages = torch.zeros_like(rewards)
        carried = torch.zeros_like(following)
        for step in reversed(range(TRIAL_STEPS)):
            surprise = rewards[:, step] + ppo.gamma * following - value[:, step]
            carried = surprise + ppo.gamma * ppo.gae_lambda * carried
            advantages[:, step], following = carried, value[:, step]
        returns = advantages + value
        spread, mean = torch.std_mean(advantages, dim=(0, 1))
        scaled = (advantages - mean) / (spread + 1e-8)
        before = _log_chance(logits, each, cells, moves)
    for _ in range(ppo.epochs):
        ratio = torch.exp(_log_chance(logits, each, cells, moves) - before)
        clipped = ratio.clamp(1 - ppo.clip, 1 + ppo.clip)
        gain = torch.minimum(ratio * scaled, clipped * scaled)
        log_chances = torch.log_softmax(logits, -1)
        entropy = -(log_chances.exp() * log_chances).sum(-1)[each, cells]
        error = F.mse_loss(values[each, cells], returns, reduction="none")
        # Agents share nothing: a sum over them, a mean over each one's own moves.
        loss = (0.5 * error - gain - ppo.entropy * entropy).mean((0, 1)).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def _log_chance(
    logits: torch.Tensor, each: torch.Tensor, cells: torch.Tensor, moves: torch.Tensor
) -> torch.Tensor:
    return torch.log_softmax(logits, -1)[each, cells, moves]
