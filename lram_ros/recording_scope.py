"""Which topics a recorder takes; the driver waits for the same ones."""

from __future__ import annotations

RECORDER = "recorder"
"""Name of the recorder's node."""


def recorded(topic: str, namespace: str) -> bool:
    """Whether a recorder in ``namespace`` takes ``topic`` (a full name).

    It takes what is below its namespace, and ``/clock``; not the topics that are hidden by
    convention, with a part of the name that begins with an underscore.
    """
    if any(part.startswith("_") for part in topic.split("/")):
        return False
    return topic.startswith(namespace.rstrip("/") + "/") or topic == "/clock"
