"""Plan for the door: take the handle, turn it down, pull."""

from __future__ import annotations

from lram_sim.robosuite_motion import Target
from lram_sim.robosuite_scene import Scene


class DoorPlan:
    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    def target(self) -> Target:
        raise NotImplementedError
