"""Fixtures shared by all rooms."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported, by whoever is first

from lram_core.testing import random_bundle


@pytest.fixture
def tiny_bundle(tmp_path: Path) -> Path:
    """A randomly initialised bundle with the Meta-World contract."""
    from lram_sim.metaworld import policy_contract

    contract = policy_contract(target_returns={"default": 1500.0}, context=50)
    return random_bundle(tmp_path / "tiny_bundle", contract)


@pytest.fixture
def ros_domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS 2 domain of the test's own, in the environment of the test and of its children."""
    from lram_ros.domain import isolation, reserved_domain

    with reserved_domain() as domain:
        for name, value in isolation(domain).items():
            monkeypatch.setenv(name, value)
        yield domain


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Makes a module of a name and a text that processes of the test can run."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def write(name: str, text: str) -> str:
        (tmp_path / f"{name}.py").write_text(text)
        return name

    return write


@pytest.fixture(scope="session")
def recorded_demo(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(bundle, bag) of a demo of two episodes; to be read only."""
    from bag_rig import record_demo

    return record_demo(tmp_path_factory.mktemp("recorded"))
