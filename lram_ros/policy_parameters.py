"""Parameters of the policy node, declared with what they mean."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.node import Node
from rclpy.parameter import Parameter

from lram_core.checks import finite32
from lram_core.errors import ContractError
from lram_core.runtimes import AUTO, RUNTIMES
from lram_ros.paths import find_shared
from lram_ros.process import declare

RUNTIME_IN_USE = "runtime_in_use"
"""Read-only parameter that tells what ``runtime`` and ``precision`` have led to."""

_READ_ONLY: dict[str, tuple[Any, str]] = {
    "bundle": ("", "Folder of the policy bundle."),
    "contract": (
        "",
        "Robot contract (YAML); by default the one installed for Meta-World.",
    ),
    "device": ("cpu", "Where the model runs: cpu, cuda or auto."),
    "runtime": (AUTO, f"What runs the model: {', '.join([AUTO, *RUNTIMES])}."),
    "precision": ("", "Of the weights; empty for the runtime's own."),
    "threads": (1, "Threads of one model step; small models are fastest with 1."),
    "topic_timeout": (20.0, "Seconds to wait at the start for every input to be published."),
}


class PolicyParameters:
    """Declares the parameters on a node and holds their values.

    Raises:
        LramError: a parameter has the wrong type, is out of range or is not given.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        values = {name: declare(node, name, *spec) for name, spec in _READ_ONLY.items()}
        target = declare(
            node,
            "target_return",
            math.nan,
            "Return to ask for, in reward units, from the next episode on; NaN: by task.",
            read_only=False,
        )
        self.bundle = str(values["bundle"])
        self.contract = values["contract"] or str(find_shared("config/metaworld.yaml"))
        self.device = str(values["device"])
        self.runtime = str(values["runtime"])
        self.precision = str(values["precision"])
        self.threads = int(values["threads"])
        self.topic_timeout = float(values["topic_timeout"])
        self.target_return = _target(target)
        if not self.bundle:
            raise ContractError("parameter bundle is not set; give the folder of a policy bundle")
        if self.threads < 1:
            raise ContractError(f"parameter threads: at least 1, found {self.threads}")
        if not self.topic_timeout >= 0:
            raise ContractError(f"parameter topic_timeout: at least 0, found {self.topic_timeout}")
        if not _possible(target):
            raise ContractError(f"parameter target_return: must be finite or NaN, found {target}")

    def on_target_return(self, change: Callable[[float | None], None]) -> None:
        """Call ``change`` now and whenever target_return is set; None stands for "by task"."""
        change(self.target_return)

        def check(parameters: list[Parameter]) -> SetParametersResult:
            for parameter in parameters:
                if parameter.name == "target_return" and not _possible(parameter.value):
                    return SetParametersResult(
                        successful=False, reason="target_return must be finite or NaN"
                    )
            return SetParametersResult(successful=True)

        def changed(parameters: list[Parameter]) -> None:
            for parameter in parameters:
                if parameter.name == "target_return":
                    change(_target(parameter.value))

        self._node.add_on_set_parameters_callback(check)
        self._node.add_post_set_parameters_callback(changed)


def _possible(value: float) -> bool:
    return math.isnan(value) or bool(finite32(value))


def _target(value: float) -> float | None:
    return None if math.isnan(value) else value
