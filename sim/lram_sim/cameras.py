"""Cameras of the simulator as sensors: what they see becomes part of a task's observation.

Pictures are drawn in worker processes alone. MuJoCo reads what it draws with when it is imported,
and only a new process has not imported it yet.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from lram_core.contract import ObservationField
from lram_core.errors import CommandError, ContractError, TaskError
from lram_sim.drawing import OFFSCREEN, VARIABLE, require_drawing
from lram_sim.suite import Array, Expert, StepResult, Suite, Task
from lram_sim.suite_registry import get_suite

SIZE = 84
"""Pixels each way, unless told otherwise."""
SMALLEST = 8
"""Pixels each way that the image encoder needs."""
FIELD = "camera_"
"""Begins the name of the observation field; the camera's name in the simulator follows."""
_SPEC = re.compile(r"(?P<name>[^:]+)(:(?P<width>\d+)x(?P<height>\d+))?")


@dataclass(frozen=True)
class View:
    """A camera of the simulator, and the size of its pictures in pixels."""

    name: str
    width: int = SIZE
    height: int = SIZE

    @classmethod
    def parse(cls, text: str) -> View:
        """Read ``NAME`` or ``NAME:WIDTHxHEIGHT``. Raises CommandError."""
        found = _SPEC.fullmatch(text)
        if found is None:
            raise CommandError(f"camera '{text}': expected NAME or NAME:WxH, e.g. corner2:64x64")
        width, height = (int(found[side] or SIZE) for side in ("width", "height"))
        if min(width, height) < SMALLEST:
            raise CommandError(
                f"camera '{text}': expected at least {SMALLEST} × {SMALLEST} pixels, "
                f"found {width} × {height}"
            )
        return cls(found["name"], width, height)

    @property
    def field(self) -> ObservationField:
        """The pictures as a field of the observation."""
        shape = (self.height, self.width, 3)
        return ObservationField(
            f"{FIELD}{self.name}", self.height * self.width * 3, "1", picture=shape
        )


@dataclass(frozen=True)
class Cameras:
    """Cameras that are drawn, in this order.

    Attributes:
        views: which ones. gl: what MuJoCo draws with: ``egl``, ``osmesa``, ``glfw``.
    """

    views: tuple[View, ...]
    gl: str

    @classmethod
    def parse(cls, texts: Iterable[str]) -> Cameras | None:
        """Read cameras, as :meth:`View.parse` does; None where there are none.

        Raises:
            CommandError: a camera cannot be read, or is named twice.
        """
        views = tuple(View.parse(text) for text in texts)
        names = [view.name for view in views]
        for name in names:
            if names.count(name) > 1:
                raise CommandError(f"camera '{name}' is named twice")
        return cls(views, _gl()) if views else None

    @classmethod
    def of_policy(cls, observation: Iterable[ObservationField]) -> Cameras | None:
        """Return the cameras that a policy looks through; None where it sees no picture.

        Raises:
            ContractError: a picture is none of a simulated camera.
        """
        views: dict[View, None] = {}
        for field in observation:
            if not field.picture:
                continue
            height, width, channels = field.picture
            if not field.name.startswith(FIELD) or channels != 3:
                raise ContractError(
                    f"the picture '{field.name}' of {channels} channels is none of the simulator; "
                    f"those are called {FIELD}NAME and have 3, see lram collect --camera"
                )
            views[View(field.name.removeprefix(FIELD), width, height)] = None
        return cls(tuple(views), _gl()) if views else None

    def parameters(self) -> list[list[Any]]:
        """Return what determines the pictures, as plain data."""
        return [[view.name, view.width, view.height] for view in self.views]

    def suite(self, suite: Suite) -> Suite:
        """Return ``suite`` with the cameras behind its observation."""
        return cast(Suite, _CameraSuite(suite, self.views))

    def make(self, suite: str, task: str) -> Task:
        """Build a task that sees, in a process that has not imported MuJoCo yet.

        Raises:
            CommandError: there is nothing to draw with.
            TaskError: as ``get_suite`` and ``Suite.make``.
        """
        os.environ[VARIABLE] = self.gl
        require_drawing()
        return self.suite(get_suite(suite)).make(task)


def with_cameras(suite: Suite, cameras: Cameras | None) -> Suite:
    """Return ``suite``, with the cameras if there are any."""
    return cameras.suite(suite) if cameras else suite


def draw_once(work: tuple[str, str, Cameras]) -> None:
    """Draw the start of an episode of (suite, task); run it on a worker before the others.

    Raises:
        CommandError: there is no such camera, or nothing can be drawn.
    """
    suite, task, cameras = work
    seen = cameras.make(suite, task)
    seen.reset(0)
    seen.close()


def _gl() -> str:
    return os.environ.get(VARIABLE) or OFFSCREEN


class _CameraSuite:
    """A suite whose tasks have cameras; what is not here is the suite's own."""

    def __init__(self, suite: Suite, views: tuple[View, ...]) -> None:
        self._suite, self._views = suite, views
        self.observation_fields = (
            *suite.observation_fields,
            *(view.field for view in views),
        )

    def __getattr__(self, name: str) -> Any:
        return getattr(self._suite, name)

    def make(self, task: str) -> Task:
        return cast(Task, CameraTask(self._suite.make(task), self._views))


class CameraTask:
    """A task with pictures behind its observation; what is not here is the task's own.

    Each picture is drawn once, after a reset and after a step.
    """

    def __init__(self, task: Task, views: tuple[View, ...]) -> None:
        self._task, self._views = task, views
        self._drawn: list[tuple[View, Any]] = []
        self._pictures: dict[str, Array] = {}
        self.observation_fields = (*task.observation_fields, *(view.field for view in views))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)

    def reset(self, seed: int) -> Array:
        return self._seen(self._task.reset(seed))

    def step(self, action: npt.ArrayLike) -> StepResult:
        result = self._task.step(action)
        return StepResult(
            self._seen(result.observation),
            result.reward,
            result.success,
            result.truncated,
            result.failure,
        )

    def sensors(self) -> dict[str, Array]:
        return {**self._task.sensors(), **self._pictures}

    def expert(self) -> Expert:
        """Return the task's expert, which does not look."""
        return _Blind(self._task.expert(), sum(f.size for f in self._task.observation_fields))

    def close(self) -> None:
        self._forget()
        self._task.close()

    def _forget(self) -> None:
        for _, camera in self._drawn:
            camera.close()
        self._drawn = []

    def _seen(self, observation: Array) -> Array:
        model = self._task.model
        if model is None:
            raise TaskError(f"task '{self._task.name}' has no camera: it is not drawn by MuJoCo")
        from lram_sim.video import Camera

        if self._drawn and self._drawn[0][1].model is not model:
            self._forget()
        if not self._drawn:
            self._drawn = [
                (view, Camera(model, view.name, view.width, view.height)) for view in self._views
            ]
        self._pictures = {
            view.field.name: camera.render(self._task.data).reshape(-1) / 255.0
            for view, camera in self._drawn
        }
        return np.concatenate([observation, *self._pictures.values()])


class _Blind:
    """An expert that is given the first ``size`` values of an observation."""

    def __init__(self, expert: Expert, size: int) -> None:
        self._expert, self._size = expert, size

    def __getattr__(self, name: str) -> Any:
        return getattr(self._expert, name)

    def act(self, observation: Array) -> Array:
        return self._expert.act(observation[: self._size])
