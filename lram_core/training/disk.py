"""What to do when the disk is full."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from lram_core.errors import BundleError, DataError, one_line

_FULL = (errno.ENOSPC, errno.EDQUOT)


@contextmanager
def told_of_disk(kept: Callable[[], list[Path]]) -> Iterator[None]:
    """Turn a full disk into a message that says what there is to go on from.

    Args:
        kept: returns the checkpoints there are then, oldest first.

    Raises:
        DataError: in place of the system's error, or the bundle's.
    """
    try:
        yield
    except (OSError, BundleError) as error:
        if not is_full(error):
            raise
        raise DataError(f"the disk is full ({_line(error)}); {going_on(kept())}") from None


def going_on(kept: list[Path]) -> str:
    """Return what to do, and from which of the checkpoints the training goes on then."""
    if not kept:
        return "there is no checkpoint yet. Make room and start the same command again"
    return (
        f"the last good checkpoint is {kept[-1]}. Make room and start the same command again: it "
        "goes on from there"
    )


def is_full(error: Exception) -> bool:
    """Whether an error is of a full disk, or of a user's share of it."""
    # Some libraries tell it by the text of their message alone.
    return getattr(error, "errno", None) in _FULL or any(
        f"os error {number}" in str(error) for number in _FULL
    )


def _line(error: Exception) -> str:
    name = f"{error.filename}: " if isinstance(error, OSError) and error.filename else ""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return name + one_line(text)
