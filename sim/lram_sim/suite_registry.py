"""Finds a suite by its name: the suites of this package, and those that others offer."""

from __future__ import annotations

import importlib
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points

from lram_core.errors import TaskError
from lram_sim.composuite_names import suite_names as composuite_names
from lram_sim.drawing import import_mujoco
from lram_sim.mimicgen_names import suite_names as mimicgen_names
from lram_sim.robosuite_names import suite_names as robosuite_names
from lram_sim.robosuite_names import wiper_names
from lram_sim.suite import Suite
from lram_sim.suite_families import unknown
from lram_sim.topics import check_topics

_SUITES = {
    "metaworld": "lram_sim.metaworld:MetaworldSuite",
    "dmcontrol": "lram_sim.dmcontrol:UnionSuite",
    **{
        f"dmcontrol-{domain.replace('_', '-')}": f"lram_sim.dmcontrol:RobotSuite:{domain}"
        for domain in (
            *("walker", "cheetah", "cartpole", "finger", "reacher", "point_mass"),
            *("ball_in_cup", "hopper", "fish", "pendulum"),
        )
    },
    "darkroom": "lram_sim.darkroom_suite:DarkRoomSuite",
    **{name: f"lram_sim.robosuite_suite:RobosuiteSuite:{name}" for name in robosuite_names()},
    **{name: f"lram_sim.robosuite_wipe:WipeSuite:{name}" for name in wiper_names()},
    **{name: f"lram_sim.composuite_suite:ComposuiteSuite:{name}" for name in composuite_names()},
    **{name: f"lram_sim.mimicgen_suite:MimicgenSuite:{name}" for name in mimicgen_names()},
}
"""Name → module and class, and what the class is called with."""
PLUGINS = "lram_sim.suites"
"""Group of entry points by which other packages offer suites: name → class, called with nothing."""


def suite_names() -> list[str]:
    """Return the names :func:`get_suite` knows: the suites here, and those of other packages."""
    return sorted({*_SUITES, *_plugins()})


def get_suite(name: str) -> Suite:
    """Return the suite called ``name``.

    Raises:
        TaskError: there is none of that name (the message names the nearest, and lists those there
            are), or a module that it needs is not installed, or another package offers it and it
            cannot be built.
    """
    with suppress(ModuleNotFoundError):  # a suite may do without
        import_mujoco()
    try:
        if name in _SUITES:
            module, attribute, *arguments = _SUITES[name].split(":")
            suite: Suite = getattr(importlib.import_module(module), attribute)(*arguments)
            return suite
        plugin = _plugins().get(name)
        if plugin is not None:
            return _from_plugin(plugin)
    except ModuleNotFoundError as error:
        if error.name and error.name.startswith("lram_"):
            raise
        raise TaskError(
            f"suite '{name}' needs the Python module '{error.name}', which is not installed"
        ) from None
    raise TaskError(unknown(name, suite_names()))


def _plugins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=PLUGINS)}


def _from_plugin(point: EntryPoint) -> Suite:
    """Build a suite of another package, and check what the bridge would trip over later."""
    package = point.dist.name if point.dist else "?"
    try:
        suite: Suite = point.load()()
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise TaskError(
            f"suite '{point.name}' of package '{package}' ({point.value}) cannot be built: "
            f"{type(error).__name__}: {error}"
        ) from error
    if suite.name != point.name:
        raise TaskError(
            f"package '{package}' offers the suite '{suite.name}' under the name '{point.name}'; "
            "the two must be the same"
        )
    check_topics(suite.name, suite.topics, suite.observation_fields)
    return suite
