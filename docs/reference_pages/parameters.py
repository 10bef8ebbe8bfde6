"""Parameters of the nodes, from the tables that the nodes declare them from."""

from __future__ import annotations

import math
from typing import Any

from lram_ros import bag_player_node, episode_driver_node, policy_parameters, recorder
from lram_ros.mock import node as mock_node
from lram_sim import bridge_node

NODES = {
    "policy_node": (policy_parameters, policy_parameters.CHANGEABLE),
    "sim_bridge": (bridge_node, ()),
    "recorder": (recorder, ()),
    "bag_player": (bag_player_node, ()),
    "episode_driver": (episode_driver_node, ()),
    "mock_robot": (mock_node, tuple(mock_node.PARAMETERS)),
}
"""Node → module with its table ``PARAMETERS``, and those that can be changed while it runs."""


def page() -> str:
    lines = [
        "# Node parameters",
        "",
        "As the nodes declare them. A value of another type, or out of its range, ends the node "
        "with one line; what stands under *changed* can be set while it runs. What they mean "
        "together: [policy node](../ros.md#the-policy-node), "
        "[bridge](../ros.md#the-bridges-two-clocks).",
    ]
    for node, (module, changeable) in NODES.items():
        lines += ["", f"## {node}", "", "| parameter | type | default | range | changed | |"]
        lines += ["|---|---|---|---|---|---|"]
        for name, (default, text, *bounds) in module.PARAMETERS.items():
            ends = f"{bounds[0][0]:g} … {bounds[0][1]:g}" if bounds else ""
            cells = (f"`{name}`", type(default).__name__, _shown(default), ends)
            changed = "yes" if name in changeable else ""
            lines.append(f"| {' | '.join((*cells, changed, text))} |")
    return "\n".join(lines) + "\n"


def _shown(default: Any) -> str:
    if default == "":
        return ""
    if isinstance(default, bool):
        return str(default).lower()
    return "NaN" if isinstance(default, float) and math.isnan(default) else f"`{default}`"
