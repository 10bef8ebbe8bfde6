"""Where installed files are: this package's configuration and models, and any package's share/."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lram_core.errors import CommandError, listed, near_names


def share_folders(package: str) -> list[Path]:
    """Existing ``share/PACKAGE`` folders: those of the sourced workspaces, then this environment's.

    (The ROS 2 wheels install below the environment's root and set no AMENT_PREFIX_PATH.)
    """
    prefixes = [p for p in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if p]
    folders = [Path(prefix, "share", package) for prefix in (*prefixes, sys.prefix)]
    return [folder for folder in dict.fromkeys(folders) if folder.is_dir()]


def find_shared(relative: str) -> Path:
    """A file or folder of this package, such as ``config/metaworld.yaml`` or ``models/NAME``.

    The source tree of an editable install comes first, so that an edit takes effect at once.

    Raises:
        CommandError: it is nowhere; the message lists the places.
    """
    places = [Path(__file__).resolve().parents[1], *share_folders("lram_ros")]
    for place in places:
        if (place / relative).exists():
            return place / relative
    looked = ", ".join(map(str, places))
    raise CommandError(f"{relative} is not part of this installation (looked in: {looked})")


def find_contract(name: str) -> Path:
    """A robot contract's file, or a shipped one by its name without ending, e.g. ``metaworld``.

    Raises:
        CommandError: there is no such file, and none of that name is shipped.
    """
    path = Path(name)
    if path.suffix or path.exists() or len(path.parts) > 1:
        return path  # missing or not, it is a file's name
    shipped = sorted(each.stem for each in find_shared("config").glob("*.yaml"))
    if name in shipped:
        return find_shared(f"config/{name}.yaml")
    raise CommandError(
        f"robot contract {name}: no such file, and none of that name is shipped; "
        f"{near_names(name, shipped)}shipped: {listed(shipped)}"
    )
