"""How MuJoCo comes into a process, and whether it can draw there.

MuJoCo loads what it draws with (the variable MUJOCO_GL: ``egl``, ``osmesa``, ``glfw``) when it is
imported, and without that library the import fails. A simulation that nobody looks at needs none,
so here MuJoCo comes in without it then, and who wants a picture is told what is missing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from lram_core.errors import CommandError, LramError, one_line

VARIABLE = "MUJOCO_GL"
NOTHING = "disable"
"""Value of MUJOCO_GL that draws nothing."""
OFFSCREEN = "egl"
"""What draws unless MUJOCO_GL says otherwise; a screen is not expected."""


@contextmanager
def drawing_by(value: str) -> Iterator[None]:
    """Set MUJOCO_GL for what is imported meanwhile, and put back what it was."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = value
    try:
        yield
    finally:
        os.environ.pop(VARIABLE, None)
        if before is not None:
            os.environ[VARIABLE] = before


@cache
def import_mujoco() -> str:
    """Import MuJoCo, with what MUJOCO_GL names if that is there.

    Returns:
        Why it cannot draw, in words; empty where its library has been loaded.

    Raises:
        ModuleNotFoundError: MuJoCo is not installed.
    """
    try:
        import mujoco
    except Exception as error:  # a missing library shows itself in many ways
        if isinstance(error, ModuleNotFoundError) and error.name == "mujoco":
            raise
        reason = one_line(error)
    else:
        return "" if hasattr(mujoco, "GLContext") else "it was told to draw nothing"
    with drawing_by(NOTHING):
        import mujoco
    return reason


def require_drawing() -> None:
    """Import MuJoCo to draw with. Raises CommandError where it came without what draws."""
    if reason := import_mujoco():
        raise _cannot_draw(reason)


def renderer(model: Any, width: int, height: int) -> Any:
    """Build MuJoCo's offscreen renderer of a model, for pictures of that many pixels.

    Raises:
        CommandError: nothing can draw here.
    """
    require_drawing()
    import mujoco

    # Read when one of them is thrown away that was never complete.
    mujoco.GLContext._context = None
    mujoco.Renderer._gl_context = mujoco.Renderer._mjr_context = None
    try:
        return mujoco.Renderer(model, height=height, width=width)
    except Exception as error:  # the libraries raise whatever they like
        raise _cannot_draw(error) from None


def _cannot_draw(reason: object) -> CommandError:
    found = one_line(reason).rstrip(".")
    value = os.environ.get(VARIABLE)
    how = f"with {VARIABLE}={value}" if value else f"without {VARIABLE}"
    return CommandError(
        f"MuJoCo cannot draw {how}: {found}; expected: "
        "egl (Debian and Ubuntu: libegl1, libgl1), osmesa (libosmesa6) or, with a screen, glfw"
    )


def main() -> None:
    """Draw an empty picture; exits with 2 and one line on stderr where nothing can be drawn."""
    from lram_sim.video import probe

    os.environ.setdefault(VARIABLE, OFFSCREEN)
    try:
        probe(64, 64)
    except LramError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
