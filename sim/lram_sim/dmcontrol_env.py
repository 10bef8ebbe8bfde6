"""The environments of ``dm_control.suite``: imported without anything to draw with, and seeded."""

from __future__ import annotations

import os
from typing import Any

import mujoco  # noqa: F401  # reads MUJOCO_GL when it is imported, so before the change below
import numpy as np


def _import_suite() -> tuple[Any, type[Exception]]:
    """Import the suite without its renderer, which would look for a display; MuJoCo's own draws."""
    backend = os.environ.get("MUJOCO_GL")
    os.environ["MUJOCO_GL"] = "disabled"
    try:
        from dm_control import suite
        from dm_control.rl.control import PhysicsError
    finally:
        if backend is None:
            del os.environ["MUJOCO_GL"]
        else:
            os.environ["MUJOCO_GL"] = backend
    return suite, PhysicsError


_suite, PhysicsError = _import_suite()


def load_env(domain: str, task: str) -> Any:
    """Build a ``dm_control.rl.control.Environment``; one step of it is a control tick."""
    return _suite.load(domain, task)


def seeded(seed: int) -> np.random.RandomState:
    """Return the random generator of an episode; ``RandomState(seed)`` takes 32 bits only."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
