"""The robot contract of a suite behind the bridge, written from what the suite declares.

python -m lram_sim.contract_text robosuite-panda > config/robosuite_panda.yaml
"""

from __future__ import annotations

import sys

from lram_core.errors import LramError
from lram_sim.suite import Suite
from lram_sim.suite_registry import get_suite
from lram_sim.topics import SensorTopic

MAX_AGE = 0.2
"""Oldest reading (s) that a tick may use: some control periods."""

_HEAD = """\
# Robot contract of a task of {name} behind the simulation bridge (sim_bridge).
# Written by: python -m lram_sim.contract_text {name}
#
# Left: what is on the wire. Right: the observation and action fields of the policy bundle. Topics
# without a leading slash live in the node's namespace. Keys are described in docs/contract.md.
format_version: 1
robot: {robot}
gripper: {gripper}
{controller}control_rate: {rate} # Hz
tick_source: observation # a tick is the complete set of inputs of one stamp

inputs:
"""
_TAIL = """
reward: # of the command before
  topic: reward
  type: lram_ros/msg/Reward
  path: value
  max_age: {age}

episode:
  topic: episode
  type: lram_ros/msg/EpisodeStatus
  max_age: {age}

command:
  topic: command
  type: lram_ros/msg/ActionCommand
  fields:
"""


def contract_text(suite: Suite) -> str:
    """Return the YAML text: every topic that carries sensors, reward, episode, native command."""
    units = {field.name: field.unit for field in suite.observation_fields}
    lines = [
        _HEAD.format(
            name=suite.name,
            robot=suite.robot,
            gripper=suite.gripper,
            controller=f"controller: {suite.controller}\n" if suite.controller else "",
            rate=float(suite.control_rate),
        )
    ]
    anchors: dict[tuple[str, ...], str] = {}
    lines += [_input(topic, units, anchors) for topic in suite.topics if topic.fields]
    lines.append(_TAIL.format(age=MAX_AGE))
    for field in suite.action_fields:
        lines.append(
            f"    {field.name}: {{unit: {_unit(field.unit)}, low: {float(field.low)}, "
            f"high: {float(field.high)}}}\n"
        )
    return "".join(lines)


def _input(topic: SensorTopic, units: dict[str, str], anchors: dict[tuple[str, ...], str]) -> str:
    lines = [f"  - topic: {topic.topic}\n", f"    type: {topic.type}\n"]
    lines += [f"    max_age: {MAX_AGE} # s\n", "    fields:\n"]
    for field in topic.fields:
        unit = _unit(units[field.sensor])
        if len(field.names) < 2:
            names = f"names: [{field.names[0]}], " if field.names else ""
            lines.append(f"      {field.sensor}: {{path: {field.path}, {names}unit: {unit}}}\n")
            continue
        known = anchors.get(field.names)
        if known is None:
            anchors[field.names] = f"joints_{len(anchors) + 1}"
            names = f"&{anchors[field.names]} [{', '.join(field.names)}]"
        else:
            names = f"*{known}"
        lines += [f"      {field.sensor}:\n", f"        path: {field.path}\n"]
        lines += [f"        names: {names}\n", f"        unit: {unit}\n"]
    return "".join(lines)


def _unit(unit: str) -> str:
    return f'"{unit}"' if unit == "1" or "," in unit else unit


def main() -> None:
    """Write the contract of the suite named on the command line to standard output."""
    if len(sys.argv) != 2:
        sys.exit("usage: python -m lram_sim.contract_text SUITE")
    try:
        sys.stdout.write(contract_text(get_suite(sys.argv[1])))
    except LramError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
