"""The demonstration: simulator and policy as separate processes over DDS, watched and reported.

The graph is the one of ``launch/sim_demo.launch.py``; this needs no ``ros2 launch``.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from rich.console import Console

from lram_core.bundle import load_contract
from lram_core.contract import PolicyContract
from lram_core.data.files import atomic_folder, check_replaceable
from lram_core.embodiments import of_suite
from lram_core.errors import CommandError, ContractError, LramError, listed
from lram_core.runtimes import AUTO, check_name
from lram_core.signals import StopRequest
from lram_ros.children import Children, ros_arguments
from lram_ros.domain import isolation, reserved_domain
from lram_ros.episode_driver import EpisodeDriver, EpisodePlan, make_plan
from lram_ros.episode_driver_node import READY_TIMEOUT
from lram_ros.paths import find_shared
from lram_ros.process import ros
from lram_ros.progress import run_with_progress
from lram_ros.report import SUMMARY, EpisodeResult, RunInfo, describe_machine, write_all
from lram_ros.robot_contract import RobotContract
from lram_ros.simulated_cameras import bridge_cameras, contract_with, pictures
from lram_ros.simulator import check_drawing, robot_contract, tasks_of
from lram_ros.surroundings import environment, stop_request

BUNDLE = "models/metaworld-ml45"
SUITE = "metaworld"
TASKS = (
    "reach-v3",
    "button-press-v3",
    "drawer-open-v3",
    "door-open-v3",
    "window-close-v3",
    "pick-place-v3",
)
EPISODES = 2
SEED = 1_000_000_000
"""First seed; demonstrations for training are collected with lower ones."""

VIDEO, BAG, LOGS = "episodes.mp4", "bag", "logs"
CONTRACT = "contract.yaml"
"""Of a suite whose robot contract is not shipped, or with the topics of a policy's cameras."""


@dataclass(frozen=True)
class DemoOptions:
    """What to run.

    Attributes:
        bundle: folder of the policy bundle; None for the one that is shipped.
        suite: which the bundle must be of; of a bundle with several, which one. Empty: whatever it
            is of, and ``metaworld`` of several.
        tasks: tasks and splits of the bundle's suite, each task ``episodes`` times.
        seed: seed of each task's first episode, the next one higher, and so on.
        max_steps: step limit of an episode; 0 for the task's own.
        mode: ``lockstep`` or ``realtime``.
        contract: robot contract; None for the one of the robot's suite.
        robot_suite: suite that stands for the robot, where it is another one than the bundle's:
            a bundle that moves the hand, on an arm that takes joint commands. Needs a ``contract``.
        video: whether to film the episodes.
        runtime: what runs the model, of :data:`lram_core.runtimes.RUNTIMES` or ``auto``.
        precision: of its weights; empty for the runtime's own.
        out: folder of the results; one of an earlier run is replaced when this one is complete.
    """

    out: Path
    bundle: Path | None = None
    suite: str = ""
    tasks: tuple[str, ...] = TASKS
    episodes: int = EPISODES
    seed: int = SEED
    max_steps: int = 0
    mode: str = "lockstep"
    contract: Path | None = None
    robot_suite: str = ""
    video: bool = True
    runtime: str = AUTO
    precision: str = ""


def run_demo(options: DemoOptions, console: Console) -> list[EpisodeResult]:
    """Run the demonstration; ``options.out`` then holds all of its results.

    After a failure the processes' logs are in ``NAME.failed`` beside it, and the results of an
    earlier run are still there.

    Raises:
        LramError: bad input, or a process of the run failed.
        Stopped: SIGINT or SIGTERM; all processes have ended.
    """
    check_name(options.runtime)
    bundle = (options.bundle or find_shared(BUNDLE)).resolve()
    contract = load_contract(bundle, of_suite(options.suite or SUITE))
    if options.suite not in ("", contract.suite):
        raise ContractError(
            f"{bundle}: made for the suite '{contract.suite}', found --suite {options.suite}; "
            "expected a --bundle of that suite"
        )
    _check_robot(options)
    check_replaceable(options.out, SUMMARY, "result of 'lram demo'")
    if options.video:
        try:
            check_drawing()
        except CommandError as error:
            raise CommandError(f"{error}; --no-video films nothing") from None
    elif pictures(contract.observation):
        check_drawing()
    # A name that is none must not end a run whose other tasks are done.
    tasks = tasks_of(options.robot_suite or contract.suite, ",".join(options.tasks))
    plan = make_plan(tasks, options.episodes, options.seed, options.max_steps)
    out = options.out.absolute()
    begin = time.monotonic()
    info = RunInfo(
        suite=contract.suite,
        mode=options.mode,
        bundle=bundle.name,
        seed=options.seed,
        control_rate=contract.control_rate,
        started=datetime.now().astimezone().isoformat(sep=" ", timespec="seconds"),
        duration=0.0,
        machine=describe_machine(),
    )
    with stop_request() as stop, atomic_folder(out) as work:
        try:
            results, notes, runtime = _run_graph(
                options, bundle, contract, plan, work, stop, console
            )
            files = _files(work)
        except LramError as error:
            raise CommandError(f"{error}{_keep_logs(work, out)}") from error
        if options.video and "video" not in files:
            notes += (f"There is no video; {LOGS}/sim_bridge.log says why.",)
        finished = replace(
            info,
            duration=time.monotonic() - begin,
            machine={**info.machine, "runtime": runtime},
            files=files,
            notes=notes,
        )
        write_all(work, results, finished, console)
    console.print(f"results in {out}/: {', '.join(sorted(os.listdir(out)))}")
    return results


def _check_robot(options: DemoOptions) -> None:
    """Raises LramError: no contract for another suite's robot, or one that does not fit the mode.

    In real time any contract does: a simulator that waits for nobody is a robot.
    """
    if options.contract is None:
        if options.robot_suite:
            raise CommandError(
                f"--robot-suite {options.robot_suite}: expected a --contract as well, which says "
                "how the bundle's actions become that robot's commands"
            )
        return
    robot = RobotContract.load(options.contract)
    if options.mode == "lockstep" and not robot.lockstep:
        raise CommandError(
            f"{robot.source}: is no contract for lockstep: expected tick_source 'observation' and "
            f"native commands, or 'lockstep: true'; found tick_source '{robot.tick_source}' and "
            f"{listed(sink.adapter for sink in robot.sinks)}; --mode realtime takes it"
        )


def _run_graph(
    options: DemoOptions,
    bundle: Path,
    contract: PolicyContract,
    plan: list[EpisodePlan],
    work: Path,
    stop: StopRequest,
    console: Console,
) -> tuple[list[EpisodeResult], tuple[str, ...], str]:
    """Start the processes, run the plan, stop the processes.

    Returns results, notes, and what ran the model.
    """
    with reserved_domain() as domain:
        variables = {**isolation(domain), "ROS_LOG_DIR": str(work / LOGS / "ros")}
        # This process takes part in the graph too.
        with environment(variables), Children(work / LOGS, variables) as children:

            def check() -> None:
                stop.check()
                children.check()

            _start(children, options, bundle, contract, work)
            console.print(
                f"{len(plan)} episodes in {options.mode}: simulator, policy and recorder run as "
                f"processes in ROS 2 domain {domain}"
            )
            return _drive(plan, check, console)


def _start(
    children: Children, options: DemoOptions, bundle: Path, contract: PolicyContract, work: Path
) -> None:
    """Start the graph's processes; the recorder last, so that it is the last to stop."""
    suite = options.robot_suite or contract.suite
    robot = options.contract or robot_contract(suite, work / CONTRACT)
    bridge = {"suite": suite, "mode": options.mode}
    if options.video:
        bridge["video_path"] = str(work / VIDEO)
    if seen := pictures(contract.observation):
        bridge["cameras"] = bridge_cameras(seen)
        robot = contract_with(robot, seen, work / CONTRACT)
    children.start("sim_bridge", "lram_sim.bridge_node", ros_arguments(bridge))
    policy = {
        "bundle": str(bundle),
        "contract": str(robot),
        "runtime": options.runtime,
        "precision": options.precision,
        # Readings are stamped with simulation time; a tick by the clock compares it with its own.
        "use_sim_time": RobotContract.load(robot).tick_source == "clock",
    }
    children.start("policy", "lram_ros.policy_node", ros_arguments(policy))
    children.start("recorder", "lram_ros.recorder", ros_arguments({"output": str(work / BAG)}))


def _drive(
    plan: list[EpisodePlan], check: Callable[[], None], console: Console
) -> tuple[list[EpisodeResult], tuple[str, ...], str]:
    with ros([]):
        driver = EpisodeDriver(check)
        try:
            driver.wait_ready(recorder=True, timeout=READY_TIMEOUT)
            runtime = driver.policy_runtime()
            return list(run_with_progress(driver, plan, console)), driver.notes, runtime
        finally:
            driver.close()


def _files(work: Path) -> dict[str, str]:
    """What the processes wrote: the bag, checked to be there, and the video, if there is one.

    Raises:
        CommandError: the bag is missing.
    """
    files = {"rosbag2 (MCAP)": f"{BAG}/{BAG}.mcap", "summary": SUMMARY}
    needed = [f"{BAG}/metadata.yaml", f"{BAG}/{BAG}.mcap"]
    if (work / VIDEO).is_file():
        files["video"] = VIDEO
    if missing := [name for name in needed if not (work / name).is_file()]:
        raise CommandError(f"the run was not recorded: {listed(missing)} missing")
    return files


def _keep_logs(work: Path, out: Path) -> str:
    """Save the logs of a failed run, if there are any; returns the line that says where."""
    if not (work / LOGS).is_dir():
        return ""
    kept = out.with_name(f"{out.name}.failed")
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(work / LOGS, kept)
    return f"\nlogs: {kept}"
