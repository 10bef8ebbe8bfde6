"""Python API: which modules are public, a page for each group of them.

The text of a page is the docstrings, read by autodoc. A module that is not listed here may change
without notice.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

PUBLIC = {
    "policies": (
        "Policies and bundles",
        "lram_core.policy lram_core.batch_policy lram_core.bundle lram_core.contract "
        "lram_core.embodiments lram_core.codec lram_core.runtimes.base lram_core.quantise "
        "lram_core.onnx_export.export lram_core.errors",
    ),
    "model": (
        "The model",
        "lram_core.action_model lram_core.joint_model lram_core.backbones.base "
        "lram_core.backbones.sizes lram_core.mlstm lram_core.slstm lram_core.selective_scan",
    ),
    "data": (
        "Data and training",
        "lram_core.data.store lram_core.data.schema lram_core.data.stream lram_core.data.split "
        "lram_core.returns lram_core.statistics lram_core.training.train",
    ),
    "robots": (
        "Robots",
        "lram_ros.robot_contract lram_ros.input_topic lram_ros.contract_check lram_ros.units "
        "lram_ros.ranges lram_ros.assembly lram_ros.adapters.base lram_ros.adapters.registry "
        "lram_ros.adapters.kinds lram_ros.adapters.feedback lram_ros.loaded_policy",
    ),
    "safety": (
        "Safety",
        "lram_ros.safety.supervisor lram_ros.safety.limits lram_ros.safety.modes "
        "lram_ros.safety.reasons lram_ros.safety.checks lram_ros.safety.state_policy "
        "lram_ros.safety.watchdog",
    ),
    "recordings": (
        "Recordings",
        "lram_ros.bags.recording lram_ros.bags.importing lram_ros.bags.exporting "
        "lram_ros.replay.bag.record lram_ros.replay.bag.ticks lram_ros.replay.bag.offline "
        "lram_ros.replay.bag.summary lram_ros.black_box lram_ros.episode_driver",
    ),
    "simulation": (
        "Simulation",
        "lram_sim.suite lram_sim.suite_registry lram_sim.task_choice lram_sim.topics "
        "lram_sim.drive lram_sim.rollout lram_sim.demonstrate lram_sim.perturb lram_sim.collect "
        "lram_sim.evaluate lram_sim.workers lram_sim.summaries",
    ),
}
"""Page → title and modules."""


def pages() -> dict[str, Callable[[], str]]:
    """Return file → function that returns its text."""
    return {f"python_{name}.rst": partial(_page, *group) for name, group in PUBLIC.items()}


def _page(title: str, modules: str) -> str:
    lines = [title, "=" * len(title)]
    for module in modules.split():
        lines += ["", module, "-" * len(module), "", f".. automodule:: {module}"]
        lines += ["   :members:", "   :show-inheritance:"]
    return "\n".join(lines) + "\n"
