"""SIGKILL of the policy node in mid-motion: the robot has to stop by its own command time-out.

Two robots: the mock robot, moved by velocities, which would drive on; and the simulated one behind
the MuJoCo bridge, in real time.
"""

from __future__ import annotations

import re
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fault_arm import PATIENT
from benchmarks.fault_motion import Array
from benchmarks.fault_rig import POLL_S, WAIT_S, Log, Observer, kill, rig, wait_until
from lram_core.errors import CommandError
from lram_ros.children import Children, ros_arguments
from lram_ros.domain import isolation, reserved_domain
from lram_ros.srv import ResetEpisode
from lram_ros.surroundings import environment

ROOT = Path(__file__).parents[1]
MOCK_TIMEOUT_S, BRIDGE_TIMEOUT_S = 0.25, 0.1
REST_S, STILL_S = 2.5, 1.0
"""How long it is watched after the kill, and for how long in the end it has to stand still."""
_TASK = "reach-v3"
_STARTED = 30  # ticks after which the start of the arm is over
_EPISODES = 4  # tried until the simulated hand is seen in motion
_HOLDS = re.compile(r"mock: no command for ([\d.]+) s; holding")


def run() -> list[dict[str, Any]]:
    """Kill the policy node of both robots; returns a row each."""
    return [mock_robot(), bridge()]


def mock_robot() -> dict[str, Any]:
    """An arm moved by velocities, which goes on at the last one until its time-out."""
    with (
        tempfile.TemporaryDirectory() as folder,
        rig(Path(folder), "wall", PATIENT, "velocity") as made,
    ):
        observer = made.observer

        def fast() -> bool:
            recent = observer.states[-10:]
            return len(observer.traces) > _STARTED and len(recent) == 10 and _speed(recent) > 0.3

        wait_until(fast, "motion of the arm")
        mark = made.mock_log.mark()
        killed = kill(made.policy)
        wait_until(lambda: made.mock_log.find(mark, "holding"), "the mock robot's hold")
        wait_until(lambda: time.time() > killed + MOCK_TIMEOUT_S + REST_S, "the end")
        row = _rest("mock robot, by velocities", observer.states, killed, MOCK_TIMEOUT_S, 1e-6)
        row["holds"] = bool(_HOLDS.search(made.mock_log.path.read_text()))
        if not row["holds"]:
            row["problems"].append("it did not say that it holds")
        return row


def bridge() -> dict[str, Any]:
    """The shipped policy on a Meta-World task in real time."""
    with (
        tempfile.TemporaryDirectory() as name,
        reserved_domain() as domain,
        environment(isolation(domain)),
        Children(Path(name), {**isolation(domain), "OMP_NUM_THREADS": "1"}) as children,
    ):
        folder = Path(name)
        children.start("bridge", "lram_sim.bridge_node", ros_arguments({"mode": "realtime"}))
        parameters = {
            "bundle": str(ROOT / "models" / "metaworld-ml45"),
            "contract": str(ROOT / "config" / "metaworld.yaml"),
            # Of the bridge's time-out is the question: the policy's own must not come first.
            "watchdog": PATIENT.watchdog,
            "late_after": PATIENT.late,
            "topic_timeout": WAIT_S,
            "activation_timeout": WAIT_S,
        }
        policy = children.start("policy", "lram_ros.policy_node", ros_arguments(parameters))
        observer = Observer()
        try:
            log = Log(folder / "policy.log")
            wait_until(lambda: log.find(0, "ready"), "the policy node")
            _set_in_motion(observer, log)
            killed = kill(policy)
            wait_until(lambda: time.time() > killed + BRIDGE_TIMEOUT_S + REST_S, "the end")
        finally:
            observer.close()
        # The bridge stops moving the place that the hand is drawn to; the hand follows with a lag.
        return _rest("MuJoCo bridge, real time", observer.hands, killed, BRIDGE_TIMEOUT_S, 1e-3)


def _set_in_motion(observer: Observer, log: Log) -> None:
    """Start episodes until the hand is seen in motion.

    A busy machine may stop the policy by a stale reading, or keep this process from looking until
    the hand has arrived; neither says anything about the robot's time-out.

    Raises:
        CommandError: the hand has not moved in any of them.
    """
    for seed in range(1, _EPISODES + 1):
        mark, begin = log.mark(), len(observer.traces)
        observer.call(observer.reset, ResetEpisode.Request(task=_TASK, seed=seed))
        if seed > 1:
            observer.rearm()  # refused unless it was stopped
        end = time.monotonic() + WAIT_S / _EPISODES
        while time.monotonic() < end and not log.stop(mark):
            recent = observer.hands[-8:]
            ticks = len(observer.traces) - begin
            if ticks > 15 and len(recent) == 8 and _speed(recent) > 0.1:
                return
            time.sleep(POLL_S)
    raise CommandError(
        f"no motion of the hand in {_EPISODES} episodes; the policy node said:\n"
        + log.path.read_text(errors="replace")
    )


def _speed(course: list[tuple[float, Array]]) -> float:
    """Largest speed of a joint or axis over the course, per second."""
    (begin, first), (end, last) = course[0], course[-1]
    return float(np.abs(last - first).max() / max(end - begin, 1e-3))


def _rest(
    robot: str, course: list[tuple[float, Array]], killed: float, timeout: float, still: float
) -> dict[str, Any]:
    """When the robot came to rest for good: no further from its last place than ``still``."""
    times = np.array([at for at, _ in course])
    places = np.array([place for _, place in course])
    after = times > killed
    away = np.abs(places[after] - places[-1]).max(axis=1) > still
    moving = np.flatnonzero(away)
    rest = float(times[after][moving[-1] + 1] - killed) if len(moving) else 0.0
    before = list(zip(times[~after][-8:].tolist(), places[~after][-8:], strict=True))
    held = times > times[-1] - STILL_S
    problems = []
    if len(places[held]) < 10:
        problems.append("the robot fell silent")
    elif np.ptp(places[held], axis=0).max() > still:
        problems.append("it does not come to rest")
    return {
        "robot": robot,
        "timeout_s": timeout,
        "speed": _speed(before),
        "rest_s": rest,
        "way": float(np.abs(places[-1] - places[~after][-1]).max()),
        "problems": problems,
    }
