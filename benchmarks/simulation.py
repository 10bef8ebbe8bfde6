"""What the topics cost: control steps a second through the bridge against the simulator's own loop.

    export MUJOCO_GL=egl
    python -m benchmarks.simulation --episodes 800 --json benchmarks/results/simulation.json

A bridge runs in lockstep in a process of its own; a client here answers each observation, once it
has arrived on every topic, with an action. In turns with it, the same simulated seconds are run
in-process: by the simulator's own ``env.step``, and by the suite's ``Task.step`` that the bridge
runs. With a camera, all draw one picture of 84 x 84 a step. Then collection: episodes an hour of
``lram collect`` in two processes and in one.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from benchmarks.output import write_json
from lram_core.machine import machine_name
from lram_ros.children import Children, ros_arguments
from lram_ros.domain import isolation, reserved_domain
from lram_ros.msg import ActionCommand, EpisodeStatus
from lram_ros.process import ros
from lram_ros.srv import ResetEpisode
from lram_ros.surroundings import environment
from lram_sim.bridge_messages import SENSOR_QOS, message_class
from lram_sim.robosuite_env import EpisodeSource, build_env
from lram_sim.suite_registry import get_suite
from lram_sim.video import Camera

SUBJECTS = (("metaworld", "drawer-open-v3"), ("robosuite-panda", "lift"))
PIXELS = 84
_WAIT_S = 60.0

Loop = Callable[[int], None]
"""Runs that many control steps."""


class Client(Node):
    """Answers every observation with an action, as soon as all its topics are there."""

    def __init__(self, suite: Any, actions: np.ndarray) -> None:
        super().__init__("client")
        self._names = [field.name for field in suite.action_fields]
        low, high = (
            np.array([getattr(field, end) for field in suite.action_fields])
            for end in ("low", "high")
        )
        self._actions = (low + (high - low) * (actions + 1) / 2).tolist()
        self._missing: dict[int, int] = {}
        self._topics = len(suite.topics) + 1
        self.steps = 0
        self.running = False
        for topic in suite.topics:
            self.create_subscription(
                message_class(topic.type), topic.topic, self._on_sensor, SENSOR_QOS
            )
        self.create_subscription(EpisodeStatus, "episode", self._on_status, SENSOR_QOS)
        self._status: Any = None
        self._publisher = self.create_publisher(ActionCommand, "command", SENSOR_QOS)
        self._message = ActionCommand(name=self._names)
        self.resets = self.create_client(ResetEpisode, "reset_episode")

    def _on_sensor(self, message: Any) -> None:
        self._arrived(message.header.stamp)

    def _on_status(self, message: Any) -> None:
        self._status = message
        self.running = message.state == EpisodeStatus.RUNNING
        self._arrived(message.header.stamp)

    def _arrived(self, stamp: Any) -> None:
        key = 1_000_000_000 * stamp.sec + stamp.nanosec
        self._missing[key] = self._missing.get(key, self._topics) - 1
        if self._missing[key] == 0:
            self._missing.clear()
            if self.running:
                self._answer(stamp)

    def _answer(self, stamp: Any) -> None:
        self._message.header.stamp = stamp
        self._message.episode = self._status.episode
        self._message.tick = self._status.tick
        self._message.value = self._actions[self.steps % len(self._actions)]
        self.steps += 1
        self._publisher.publish(self._message)


def through_topics(client: Client, executor: Any, task: str) -> Loop:
    """Return the loop over topics; an episode that ends is followed by another one."""

    def reset() -> None:
        client.running = False
        future = client.resets.call_async(ResetEpisode.Request(task=task, seed=1))
        end = time.monotonic() + _WAIT_S
        while not (future.done() and client.running):
            executor.spin_once(timeout_sec=0.1)
            if time.monotonic() > end:
                raise RuntimeError("the bridge does not start an episode")

    def loop(steps: int) -> None:
        goal, end = client.steps + steps, time.monotonic() + _WAIT_S
        while client.steps < goal:
            if not client.running:
                reset()
            executor.spin_once(timeout_sec=0.1)
            if time.monotonic() > end:
                raise RuntimeError("the bridge does not answer")

    return loop


def in_process(task: Any, actions: np.ndarray, camera: Camera | None) -> Loop:
    """Return the loop over the suite's own task, as the bridge runs it."""
    count = 0

    def loop(steps: int) -> None:
        nonlocal count
        for _ in range(steps):
            result = task.step(actions[count % len(actions)])
            count += 1
            if camera is not None:
                camera.render(task.data)
            if result.success or result.truncated:
                task.reset(1)

    task.reset(1)
    return loop


def simulators_own(suite: Any, name: str, actions: np.ndarray, pictures: bool) -> Loop:
    """Return the loop over the environment as its package offers it."""
    env: Any
    if suite.name == "metaworld":
        from metaworld.env_dict import ALL_V3_ENVIRONMENTS_GOAL_OBSERVABLE as environments

        env = environments[f"{name}-goal-observable"](seed=1)
        reset: Callable[[], Any] = env.reset
        data, model = env.data, env.model
    else:
        env = build_env(name, suite.arm, suite.mode, observed=True)
        reset = partial(EpisodeSource(env).reset, 1)
        data, model = env.sim.data._data, env.sim.model._model
    reset()
    camera = Camera(model, suite.camera, PIXELS, PIXELS) if pictures else None
    count = 0

    def loop(steps: int) -> None:
        nonlocal count
        for _ in range(steps):
            ended = env.step(actions[count % len(actions)])[2:4]
            count += 1
            if camera is not None:
                camera.render(data)
            if any(bool(end) for end in ended if not isinstance(end, dict)):
                reset()

    return loop


def compare(suite_name: str, task_name: str, pictures: bool, args: Any) -> dict[str, Any]:
    """Run the three loops in turns."""
    suite = get_suite(suite_name)
    rng = np.random.default_rng(0)
    actions = rng.uniform(-0.3, 0.3, (997, len(suite.action_fields)))
    task = suite.make(task_name)
    task.reset(1)
    camera = Camera(task.model, suite.camera, PIXELS, PIXELS) if pictures else None
    loops = {
        "env.step": simulators_own(suite, task_name, actions, pictures),
        "Task.step": in_process(task, actions, camera),
    }
    with tempfile.TemporaryDirectory() as folder, reserved_domain() as domain:
        variables = {**isolation(domain), "OMP_NUM_THREADS": "1"}
        with environment(variables), Children(Path(folder), variables) as children:
            options: dict[str, Any] = {"suite": suite_name, "mode": "lockstep"}
            if pictures:
                options |= {"camera": suite.camera, "camera_rate": float(suite.control_rate)}
            children.start("bridge", "lram_sim.bridge_node", ros_arguments(options))
            with ros([]):
                client = Client(suite, actions)
                executor = SingleThreadedExecutor()
                executor.add_node(client)
                if not client.resets.wait_for_service(_WAIT_S):
                    raise RuntimeError("the bridge does not come up")
                time.sleep(1.0)  # for its topics to match
                loops["bridge"] = through_topics(client, executor, task_name)
                rates = in_turns(loops, args.rounds, args.steps)
                client.destroy_node()
    return {
        "suite": suite_name,
        "task": task_name,
        "pictures": pictures,
        "steps_per_s": {name: float(np.median(values)) for name, values in rates.items()},
        "kept": float(np.median(np.divide(rates["bridge"], rates["env.step"]))),
        "kept_of_task": float(np.median(np.divide(rates["bridge"], rates["Task.step"]))),
    }


def in_turns(loops: dict[str, Loop], rounds: int, steps: int) -> dict[str, list[float]]:
    """Return each loop's steps a second, round by round, after one that does not count."""
    rates: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(rounds + 1):
        for name, loop in loops.items():
            begin = time.perf_counter()
            loop(steps)
            if number:
                rates[name].append(steps / (time.perf_counter() - begin))
    return rates


def collection(args: Any) -> list[dict[str, Any]]:
    """Return episodes an hour of ``lram collect`` with one and two workers, start-up included."""
    rows = []
    for suite, task in args.subjects if args.episodes else ():
        rates = {}
        for workers in (1, 2):
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", "lram_core.cli", "collect", suite]
                command += ["--tasks", task, "--episodes", str(args.episodes)]
                command += ["--workers", str(workers), "--out", f"{folder}/data"]
                begin = time.perf_counter()
                subprocess.run(command, check=True, capture_output=True)
                rates[workers] = 3600 * args.episodes / (time.perf_counter() - begin)
        rows.append({"suite": suite, "task": task, "one": rates[1], "two": rates[2]})
    return rows


def markdown(report: dict[str, Any]) -> dict[str, str]:
    """Return the manual's tables ``bridge`` and ``collection``."""
    bridge = [
        f"{report['machine']}, {report['rounds']} rounds of {report['steps']} steps.",
        "",
        "| task | pictures | simulator's `env.step` | here, in-process | through the bridge "
        "| of `env.step` | of in-process |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in report["bridge"]:
        rates = row["steps_per_s"]
        bridge.append(
            f"| {row['suite']}, {row['task']} | {'84 × 84' if row['pictures'] else 'none'} "
            f"| {rates['env.step']:.0f}/s | {rates['Task.step']:.0f}/s | {rates['bridge']:.0f}/s "
            f"| {row['kept']:.2f} | {row['kept_of_task']:.2f} |"
        )
    collected = [
        "| task | one process | two | faster |",
        "|---|---|---|---|",
        *(
            f"| {row['suite']}, {row['task']} | {row['one']:,.0f} episodes/h "
            f"| {row['two']:,.0f} | {row['two'] / row['one']:.2f} x |"
            for row in report["collection"]
        ),
    ]
    tables = {"bridge": "\n".join(bridge)}
    return tables | ({"collection": "\n".join(collected)} if report["collection"] else {})


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--steps", type=int, default=200, help="in a round")
    parser.add_argument("--episodes", type=int, default=200, help="to collect; 0: none")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--no-pictures", dest="pictures", action="store_const", const=(False,))
    parser.add_argument("--suite", choices=[suite for suite, _ in SUBJECTS], help="only this one")
    parser.set_defaults(pictures=(False, True))
    args = parser.parse_args(arguments)
    args.subjects = [each for each in SUBJECTS if args.suite in (None, each[0])]
    report = {
        "machine": machine_name(),
        "rounds": args.rounds,
        "steps": args.steps,
        "bridge": [
            compare(suite, task, pictures, args)
            for suite, task in args.subjects
            for pictures in args.pictures
        ],
        "collection": collection(args),
    }
    if args.json:
        write_json(report, args.json)
    for name, text in markdown(report).items():
        print(f"\n{name}\n\n{text}")


if __name__ == "__main__":
    main()
