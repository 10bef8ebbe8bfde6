"""The environments of ``dm_control.suite``: imported without anything to draw with, and seeded."""

from __future__ import annotations

from typing import Any

import mujoco  # noqa: F401  # reads MUJOCO_GL when it is imported, so before the change below
import numpy as np

from lram_sim.drawing import NOTHING, drawing_by


def _import_suite() -> tuple[Any, type[Exception]]:
    """Import the suite without its renderer, which would look for a display; MuJoCo's own draws."""
    with drawing_by(NOTHING):
        from dm_control import suite
        from dm_control.rl.control import PhysicsError
    return suite, PhysicsError


_suite, PhysicsError = _import_suite()


def load_env(domain: str, task: str) -> Any:
    """Build a ``dm_control.rl.control.Environment``; one step of it is a control tick."""
    return _suite.load(domain, task)


def seeded(seed: int) -> np.random.RandomState:
    """Return the random generator of an episode; ``RandomState(seed)`` takes 32 bits only."""
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(seed)))
