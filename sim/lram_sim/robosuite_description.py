"""Robot descriptions (URDF) that come with robosuite."""

from __future__ import annotations

from pathlib import Path

from lram_sim.robosuite_env import import_robosuite

_FILES = {
    "panda": ("panda_description", "urdf/panda_arm_hand.urdf"),
    "sawyer": ("sawyer_description", "urdf/sawyer_arm.urdf"),
}


def urdf(robot: str) -> str:
    """Return the URDF of a robot, its meshes as absolute addresses; empty where there is none."""
    if robot not in _FILES:
        return ""
    package, file = _FILES[robot]
    folder = Path(import_robosuite().__file__).parent / "models/assets/bullet_data" / package
    return (folder / file).read_text().replace(f"package://{package}/", f"{folder.as_uri()}/")
