"""Experts that move the hand, on an arm that takes joint commands: inverse kinematics alone.

    python -m benchmarks.hand_moves --json benchmarks/results/hand_moves.json

Each task twice: the expert's hand moves as the suite's own actions, carried out by robosuite's
operational space controller, and the same expert on the arm with joint commands, its moves turned
into joint targets as the policy node does with ``config/robosuite_panda_ik.yaml`` and those into
motion as the bridge does. No ROS, no policy: what is left is what the kinematics make of it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.output import write_json
from lram_core.contract import PolicyContract
from lram_core.machine import machine_name
from lram_core.statistics import wilson_interval
from lram_ros.adapters.inverse_kinematics import InverseKinematics
from lram_ros.adapters.kinds import SinkMapper
from lram_ros.paths import find_shared
from lram_ros.robot_contract import RobotContract
from lram_sim.drive import Targets
from lram_sim.rotations import rotation, rotation_vector
from lram_sim.suite import EVALUATION_SEED, dataset_schema
from lram_sim.suite_registry import get_suite

Array = npt.NDArray[np.float64]

SUITE = "robosuite-panda"
CONTRACT = "config/robosuite_panda_ik.yaml"
TASKS = ("lift", "stack", "pick-place-can")


class JointDriver:
    """What stands between a move of the hand and an action of the suite with joint commands."""

    def __init__(self, policy: PolicyContract) -> None:
        robot = RobotContract.load(find_shared(CONTRACT))
        period = 1.0 / robot.control_rate
        suite: Any = get_suite(SUITE)
        self._targets = Targets(suite.drive, suite.action_fields)
        self._names = list(suite.drive.joints)
        self._solver = InverseKinematics(robot.sinks[0], period)
        self._arm = SinkMapper(robot.sinks[0], policy, period, self._solver)
        self._hand = SinkMapper(robot.sinks[1], policy, period)
        self.seconds: list[float] = []
        self.misses: list[tuple[float, float]] = []

    def action(self, move: Array, task: Any) -> Array:
        """Return the suite's action for a move of the hand, (7,) of the bundle."""
        names, positions, _ = task.joint_state()
        found = dict(zip(names, positions.tolist(), strict=True))
        joints = np.array([found[name] for name in self._names])
        begin = perf_counter()
        target = self._arm.target(move, joints).values
        self.seconds.append(perf_counter() - begin)
        self._note(move, joints, target)
        self._targets.positions(target)
        self._targets.gripper(float(self._hand.target(move).values[0]))
        action = self._targets.action(found)
        assert action is not None
        return action

    def _note(self, move: Array, joints: Array, target: Array) -> None:
        """How far the targets' pose is from the one that was asked for, in m and rad."""
        (place, turn), (reached, turned) = map(self._solver.pose, (joints, target))
        goal = place + 0.05 * move[:3], rotation(0.5 * move[3:6]) @ turn
        away = rotation_vector(goal[1] @ turned.T)
        self.misses.append((float(np.linalg.norm(goal[0] - reached)), float(np.linalg.norm(away))))


def episodes(task_name: str, count: int, driver: JointDriver | None) -> list[int]:
    """Run the expert of hand moves; returns ticks to success of each episode, 0 for a failure.

    Args:
        task_name: of both suites.
        count: episodes, at the seeds of evaluation.
        driver: None: the suite's own controller of the hand carries the moves out.
    """
    task: Any = get_suite(SUITE if driver else f"{SUITE}-osc").make(task_name)
    found = []
    for index in range(count):
        observation = task.reset(EVALUATION_SEED + index)
        task.mode = "osc"  # what the expert answers with, whatever carries it out
        expert, ticks = task.attempt(), 0
        for tick in range(1, task.max_episode_steps + 1):
            move = expert.act(observation)
            result = task.follow(driver.action(move, task)) if driver else task.step(move)
            observation = result.observation
            if result.success:
                ticks = tick
                break
        found.append(ticks)
    task.close()
    return found


def measure(tasks: list[str], count: int) -> dict[str, Any]:
    """Return the report."""
    policy = dataset_schema(get_suite(f"{SUITE}-osc")).contract({"default": 1.0}, context=1)
    rows = {}
    for name in tasks:
        driver = JointDriver(policy)
        rows[name] = {
            "osc": episodes(name, count, None),
            "joint": episodes(name, count, driver),
            "solve_ms": 1e3 * float(np.median(driver.seconds)),
            "miss": np.quantile(np.array(driver.misses), 0.5, axis=0).tolist(),
        }
        print(f"{name}: {rows[name]}", flush=True)
    return {"machine": machine_name(), "suite": SUITE, "tasks": rows}


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's table ``experts``; misses and times are medians."""
    lines = [
        "| task | by robosuite's `OSC_POSE` | mean ticks | by joint commands | mean ticks "
        "| targets miss the pose that was asked for by | inverse kinematics of a tick |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, row in report["tasks"].items():
        cells = []
        for how in ("osc", "joint"):
            wins = [ticks for ticks in row[how] if ticks]
            low, high = wilson_interval(len(wins), len(row[how]))
            cells += [
                f"{len(wins)}/{len(row[how])} ({low:.2f} – {high:.2f})",
                f"{np.mean(wins):.0f}" if wins else "–",
            ]
        way, turn = (1e3 * each for each in row["miss"])
        cells += [f"{way:.1f} mm, {turn:.0f} mrad", f"{row['solve_ms']:.1f} ms"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return {"experts": "\n".join(lines)}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS), help="separated by commas")
    parser.add_argument("--episodes", type=int, default=20, help="a task")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args(arguments)
    report = measure(args.tasks.split(","), args.episodes)
    if args.json:
        write_json(report, args.json)
    print(markdown(report)["experts"])


if __name__ == "__main__":
    main()
