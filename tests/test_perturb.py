"""Perturbations of executed actions: their kinds, how large they are, how often each comes."""

from __future__ import annotations

import numpy as np
import pytest

from lram_sim.perturb import KINDS, Perturbation, draw


@pytest.mark.parametrize("kind", KINDS)
def test_perturbations_stay_within_limits_and_have_their_size(kind: str) -> None:
    rng = np.random.default_rng(1)
    perturbation = Perturbation(kind, 0.3, rng)
    clean = np.array([0.1, -0.2, 0.0, 0.3])
    executed = np.array([perturbation.apply(clean) for _ in range(20_000)])
    assert np.abs(executed).max() <= 1
    moved = executed - clean
    share = (moved != 0).any(axis=1).mean()
    if kind == "none":
        assert share == 0
    elif kind == "pushes":
        assert 0.1 < share < 0.35
        gripper = (moved[:, 3] != 0).sum() / (moved[:, 0] != 0).sum()
        assert 0.15 < gripper < 0.45
    else:
        assert share == 1
        assert np.std(moved[:, 0]) == pytest.approx(0.3, rel=0.1)
        neighbours = np.corrcoef(moved[:-1, 0], moved[1:, 0])[0, 1]
        assert (neighbours > 0.85) if kind == "correlated" else (abs(neighbours) < 0.05)
    weak = Perturbation(kind, 0.0, rng)
    np.testing.assert_array_equal(weak.apply(clean), clean)


def test_kinds_are_mixed() -> None:
    rng = np.random.default_rng(2)
    drawn = [draw(0.3, rng) for _ in range(2000)]
    for kind, weight in zip(KINDS, (0.15, 0.25, 0.3, 0.3), strict=True):
        assert sum(k == kind for k, _ in drawn) / 2000 == pytest.approx(weight, abs=0.04)
    assert max(scale for _, scale in drawn) <= 0.3
    assert draw(0.0, rng) == ("none", 0.0)
