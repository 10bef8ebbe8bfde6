"""States of an episode, for what must not import ROS."""

from __future__ import annotations

from enum import IntEnum


class EpisodeState(IntEnum):
    """The numbers of ``EpisodeStatus``; in RUNNING alone a command is expected."""

    IDLE = 0
    RUNNING = 1
    SUCCEEDED = 2
    TRUNCATED = 3
    ABORTED = 4
