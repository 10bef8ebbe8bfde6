"""Roll-in: a policy begins, the expert takes over; the bundle must be the one that was meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lram_core.data.files import sha256
from lram_core.data.store import Dataset
from lram_core.errors import BundleError, ContractError
from lram_sim import collect as collection
from lram_sim.cameras import Cameras
from lram_sim.demonstrate import Recipe, demonstrate
from lram_sim.experts import MetaworldExpert
from lram_sim.metaworld import MetaworldSuite
from lram_sim.policy_source import PolicySource

SUITE = MetaworldSuite()


def test_a_worker_without_the_bundle_says_so(tiny_bundle: Path, tmp_path: Path) -> None:
    weights = sha256(tiny_bundle / "model.safetensors")
    assert PolicySource(str(tiny_bundle), weights=weights).load()
    for folder, told, found in (
        (tiny_bundle, "0" * 64, "another one"),
        (tmp_path / "none", weights, "none"),
    ):
        with pytest.raises(BundleError, match=f"on the worker's machine .*found {found}"):
            PolicySource(str(folder), weights=told).load()


def test_a_roll_in_must_see_the_pictures_that_are_collected(
    tiny_bundle: Path, tmp_path: Path
) -> None:
    recipe, cameras = Recipe(1, 0, 0.0, 1.0), Cameras.parse(["corner2:16x16"])
    with pytest.raises(ContractError, match=r"looks at \(none\), --camera gives camera_corner2"):
        collection.collect(
            SUITE, ["reach-v3"], recipe, tmp_path / "x", 1, tiny_bundle, cameras=cameras
        )
    assert not list(tmp_path.glob("x*"))


def test_roll_in_keeps_the_experts_labels(tiny_bundle: Path, tmp_path: Path) -> None:
    from lram_core.policy import Policy

    policy = Policy.load(tiny_bundle)
    recipe = Recipe(episodes=2, seed=40, noise=0.3, roll_in_fraction=1.0)
    task = SUITE.make("reach-v3")
    episodes, tally = demonstrate(task, range(2), recipe, policy)
    assert tally.kinds == {"roll-in": [2, 2]}
    plain, _ = demonstrate(task, range(2), Recipe(2, 40, 0.0))
    for driven, undisturbed in zip(episodes, plain, strict=True):
        assert driven.seed == undisturbed.seed
        assert len(driven.rewards) > len(undisturbed.rewards)
        expert = MetaworldExpert("reach-v3")
        again = [expert.act(o.astype(np.float64)) for o in driven.observations]
        np.testing.assert_allclose(driven.actions, again, atol=1e-4)
    out = tmp_path / "data"
    collection.collect(SUITE, ["reach-v3"], recipe, out, workers=1, bundle=tiny_bundle)
    stored = Dataset.open(out)
    np.testing.assert_array_equal(
        stored.observations, np.concatenate([e.observations for e in episodes])
    )
    with pytest.raises(BundleError, match=r"model\.safetensors"):
        collection.collect(SUITE, ["reach-v3"], recipe, tmp_path / "x", 1, bundle=tmp_path)
