"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest

from lram_core.testing import random_bundle


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    """A randomly initialised bundle with the Meta-World contract."""
    from lram_sim.metaworld import policy_contract

    contract = policy_contract(target_returns={"default": 1500.0}, context=50)
    return random_bundle(tmp_path / "tiny_bundle", contract)
