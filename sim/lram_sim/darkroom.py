"""Dark-Room: a grid of cells of which one is the goal, and no light.

The agent sees its own cell and nothing else, so it has to find the goal by its reward and to
remember it from one trial to the next. Source: Laskin et al., "In-context Reinforcement Learning
with Algorithm Distillation", 2022; 10 × 10 cells, 80 goals to train on and 20 held out, as in
Schmied et al., "Retrieval-Augmented Decision Transformer", 2024.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

SIDE = 10
CELLS = SIDE * SIDE
TRIAL_STEPS = 100
MOVES = ("stay", "up", "down", "left", "right")
_STEPS = np.array([(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)])
HELD_OUT = 20
_SPLIT_SEED = 0

Ints = npt.NDArray[np.int64]


class DarkRooms:
    """N rooms side by side, one agent in each; every trial starts in the corner (0, 0).

    Args:
        goals: (N,) cells, row * SIDE + column.
    """

    def __init__(self, goals: npt.ArrayLike) -> None:
        self.goals: Ints = np.asarray(goals, dtype=np.int64)
        self._place = np.zeros((len(self.goals), 2), dtype=np.int64)

    @property
    def cells(self) -> Ints:
        """Where the agents are, (N,)."""
        found: Ints = self._place[:, 0] * SIDE + self._place[:, 1]
        return found

    def reset(self) -> Ints:
        """Start a trial in every room; returns the cells (N,)."""
        self._place[:] = 0
        return self.cells

    def step(self, moves: npt.ArrayLike) -> tuple[Ints, npt.NDArray[np.float32]]:
        """Move every agent; a wall stops it.

        Args:
            moves: (N,) numbers of :data:`MOVES`.

        Returns:
            The new cells (N,) and the rewards (N,): 1 on the goal, else 0.
        """
        self._place = np.clip(self._place + _STEPS[np.asarray(moves)], 0, SIDE - 1)
        cells = self.cells
        return cells, (cells == self.goals).astype(np.float32)


def one_hot(cells: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """Return what an agent sees of its cell: row and column, one-hot each, (..., 2 * SIDE)."""
    rows, columns = np.divmod(np.asarray(cells, dtype=np.int64), SIDE)
    eye = np.eye(SIDE, dtype=np.float32)
    return np.concatenate([eye[rows], eye[columns]], axis=-1)


def towards(cell: int, goal: int) -> int:
    """Return a move on a shortest way: rows first."""
    (row, column), (goal_row, goal_column) = divmod(cell, SIDE), divmod(goal, SIDE)
    if row != goal_row:
        return MOVES.index("down" if row < goal_row else "up")
    if column != goal_column:
        return MOVES.index("right" if column < goal_column else "left")
    return MOVES.index("stay")


def best_return(goal: int) -> float:
    """Return what the shortest way gives in a trial: a reward for every step on the goal."""
    distance = sum(divmod(goal, SIDE))
    return float(TRIAL_STEPS - max(distance - 1, 0))


def goal_split() -> tuple[list[int], list[int]]:
    """Return the goals to train on and those held out, drawn once and for all."""
    order = np.random.default_rng(_SPLIT_SEED).permutation(CELLS)
    return sorted(order[HELD_OUT:].tolist()), sorted(order[:HELD_OUT].tolist())


def task_name(goal: int) -> str:
    """Return the name of the task with that goal, e.g. ``goal-3-7``: row and column."""
    row, column = divmod(goal, SIDE)
    return f"goal-{row}-{column}"
