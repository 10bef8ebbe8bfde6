"""Errors a user can cause, and therefore read.

Every message is one line that names what was found, what was expected and what is available. The
command line prints it without a traceback and exits with code 2.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class LramError(Exception):
    """Base of every error that bad input, not a fault of ours, can raise."""


class ContractError(LramError):
    """Two sides disagree on names, sizes, units or limits."""


class BundleError(LramError):
    """A policy bundle is missing, incomplete or corrupt."""


class DataError(LramError):
    """A dataset or a part of one cannot be read or written as asked."""


class TaskError(LramError):
    """An unknown suite, task or split."""


class RuntimeUnavailable(LramError):
    """A runtime cannot run here: the reason is in the message."""


class ParityError(LramError):
    """A runtime, or an exported file, chooses other actions than PyTorch."""


class StateError(LramError):
    """A recurrent state does not fit the model."""


class CommandError(LramError):
    """A command line that is well-formed but asks for the impossible."""


def one_line(message: object, limit: int | None = None) -> str:
    """Return what an error of a library says on one line, and its kind where it says nothing.

    Args:
        message: an error, or a text.
        limit: longest line, in characters; None for any.
    """
    return " ".join(str(message).split())[:limit] or type(message).__name__


def listed(names: Iterable[object], limit: int = 60) -> str:
    """Return ``names`` as ``a, b, c``, cut after ``limit`` of them; ``(none)`` when empty."""
    items = [str(name) for name in names]
    if not items:
        return "(none)"
    more = f", … ({len(items) - limit} more)" if len(items) > limit else ""
    return ", ".join(items[:limit]) + more


def near_names(name: str, names: Iterable[str]) -> str:
    """Return ``nearest: x, y; `` with those of ``names`` that are like ``name``, if any is."""
    near = difflib.get_close_matches(name, list(names))
    return f"nearest: {listed(near)}; " if near else ""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return `` (did you mean 'x'?)`` for the one of ``names`` that is most like ``name``."""
    near = difflib.get_close_matches(name.replace("-", "_"), list(names), n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
