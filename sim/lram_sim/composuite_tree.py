"""A tree of joint positions, as random searches for a path grow it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Tree:
    """Joint positions (n,), each with the number of the one that it was reached from."""

    def __init__(self, roots: list[Array]) -> None:
        self._nodes = np.empty((256, len(roots[0])))
        self._from: list[int] = []
        for root in roots:
            self.add(root, -1)

    def add(self, q: Array, before: int) -> int:
        """Add a node; returns its number."""
        count = len(self._from)
        if count == len(self._nodes):
            self._nodes = np.vstack((self._nodes, np.empty_like(self._nodes)))
        self._nodes[count] = q
        self._from.append(before)
        return count

    def node(self, number: int) -> Array:
        return self._nodes[number].copy()

    def nearest(self, q: Array) -> int:
        """Return the number of the node with the least largest joint distance to ``q``."""
        away = np.abs(self._nodes[: len(self._from)] - q).max(axis=1)
        return int(np.argmin(away))

    def branch(self, number: int) -> list[Array]:
        """Return the nodes from one back to its root."""
        found = []
        while number >= 0:
            found.append(self.node(number))
            number = self._from[number]
        return found


def connected(first: Tree, second: Tree, one: int, other: int) -> list[Array]:
    """Return the nodes from the root of ``first`` to that of ``second``.

    Args:
        one, other: number of the node of each tree at which they have met.
    """
    return first.branch(one)[::-1] + second.branch(other)[1:]
