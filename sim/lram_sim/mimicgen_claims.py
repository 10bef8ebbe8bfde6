"""The MimicGen tasks whose scripted expert was measured to succeed.

In at least 95 % of 50 episodes. It can be tried in the others, but it fails too often, or was not
measured, so no demonstrations are collected there.
"""

from __future__ import annotations

CLAIMED: dict[str, tuple[str, ...]] = {}
"""Suite → tasks."""
