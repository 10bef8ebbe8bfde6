"""Every fault of the mock robot against the policy node, in wall time and in simulated time.

    python -m benchmarks.fault_campaign --json benchmarks/results/fault_campaign.json --markdown

Mock robot and policy node are processes that talk over DDS; this process looks on. Of each fault:
the arm is in motion, the fault is set, what is commanded from then on is noted; the fault is ended,
the policy node re-armed, and the arm is to be in motion again, with the threads it had before. Two
nodes are killed in mid-motion as well: see :mod:`benchmarks.fault_kill`.

- *safe command*: from the fault to the first command that is no longer the policy's, by the system
  clock: the mock robot's log line of the fault's begin, the arrival of the command;
- *allowed*: two periods and the watchdog's deadline;
- *way to rest*: from the policy's last command to where the arm is held, and what braking takes
  at the speed it had.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from std_msgs.msg import Float64MultiArray

from benchmarks import fault_kill, fault_tables
from benchmarks.fault_arm import COMMANDS, JOINTS, MEASURED, PATIENT, RATE
from benchmarks.fault_cases import COMMANDS as COMMAND_PUBLISHER
from benchmarks.fault_cases import GOES_ON, KILL, Case, cases
from benchmarks.fault_motion import Array, in_motion, last_speed, outside, stopping
from benchmarks.fault_rig import CLOCKS, LIMITS, Rig, kill, rig, wait_until
from benchmarks.output import write_json
from lram_core.errors import CommandError
from lram_core.machine import machine_name
from lram_ros.black_box import Recording

LOOK_S = 1.0
"""How long a loop that goes on is watched."""
HELD = 15
"""Commands after standstill that are looked at."""
GROWTH_MB = 8.0
"""Of the policy node, from a fault to the motion after its re-arm."""
MACHINE = ("late_tick", "watchdog")
"""Reasons that a machine gives by itself that has other things to do; they are reported apart."""
AGAIN = "stopped again:"
STOOD = "the arm stood still before the fault was noticed"
_TRIES = 3  # until it moves when the fault is noticed
_GOING = tuple(f"the mode is {mode}" for mode in ("waiting", "blending", "running"))
_SOUND = 5  # readings after a fault's end
_STARTED = 40  # commands of the policy after which a start is over
_JUMP_AFTER_S = 6.0  # simulated time can go back by no more than has passed


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run what is asked for; returns the report."""
    patience = PATIENT if args.patient else MEASURED
    begin = time.monotonic()
    rows = []
    for clock in args.clocks:
        with tempfile.TemporaryDirectory() as folder, rig(Path(folder), clock, patience) as made:
            for case in cases(patience):
                if not args.faults or case.name in args.faults:
                    rows.append(measure(made, case))
                    print(_line(rows[-1]), flush=True)
    return {
        "machine": machine_name(),
        "rate_hz": RATE,
        "watchdog_s": patience.watchdog,
        "max_age_s": patience.max_age,
        "rows": rows,
        "kills": [] if args.faults else fault_kill.run(),
        "seconds": time.monotonic() - begin,
    }


def measure(made: Rig, case: Case) -> dict[str, Any]:
    """Let one fault happen to an arm in motion, and make it move again.

    Returns:
        A row of the report; ``problems`` is empty where everything but times was as it should be.
        ``stops`` holds those that did not come of the fault; it is tried again then.
    """
    stops: list[str] = []
    for _ in range(_TRIES):
        row = _measure(made, case)
        stops += row["stops"]
        row["stops"] = stops
        machine = row["reason"] in MACHINE
        if machine:
            stops.append(row["reason"])
        again = any(text.startswith(AGAIN) for text in row["problems"])
        if not (machine or again or STOOD in row["problems"]):
            break
    return row


def _measure(made: Rig, case: Case) -> dict[str, Any]:
    stops = _in_motion(made)
    if case.fault.startswith("jump"):
        wait_until(lambda: time.monotonic() - made.mock_started > _JUMP_AFTER_S, "time to jump in")
    threads, memory = made.usage()
    mark, first = made.policy_log.mark(), len(made.observer.commands)
    expected = case.reasons(made.clock)
    row: dict[str, Any] = {
        "fault": case.name,
        "what": case.what,
        "clock": made.clock,
        "expected": list(expected),
        "allowed_ms": 1e3 * (2 / RATE + made.patience.watchdog),
        "stops": stops,
    }
    begun, undo = _inflict(made, case)
    try:
        if expected == (GOES_ON,):
            row |= _going_on(made, case, mark, begun, first)
        else:
            row |= _stopped(made, expected, mark, begun, first)
    finally:
        undo()
    sets = len(made.observer.states)
    wait_until(lambda: len(made.observer.states) > sets + _SOUND, "sound readings")
    if expected != (GOES_ON,):
        count = len(made.observer.commands)
        row["rearm_s"] = _rearm(made)
        again = _in_motion(made)
        stops += again
        row["problems"] += [f"{AGAIN} {s}" for s in again if not s.startswith(MACHINE)]
        started = np.array([values for _, values in made.observer.commands[count:]])
        row["problems"] += [f"after the re-arm: {text}" for text in outside(started, LIMITS)]
    row["threads"] = [threads, _settled_threads(made, threads)]
    row["memory_mb"] = [memory, made.usage()[1]]
    if row["threads"][1] != threads:
        row["problems"].append(f"{row['threads'][1]} threads, {threads} before")
    if row["memory_mb"][1] - memory > GROWTH_MB:
        row["problems"].append(f"{row['memory_mb'][1] - memory:.1f} MB more than before")
    return row


def _inflict(made: Rig, case: Case) -> tuple[float, Any]:
    """Let it happen; returns when it began, and what ends it."""
    if case.name == KILL:
        return kill(made.mock), made.start_mock
    if case.name == COMMAND_PUBLISHER:
        node = made.observer.node
        publisher = node.create_publisher(Float64MultiArray, COMMANDS, 10)
        return time.time(), lambda: node.destroy_publisher(publisher)
    begun = _set_faults(made, f"{case.fault}@0s", "mock: fault begins")
    return begun, lambda: _set_faults(made, "", "mock: faults are set anew")


def _set_faults(made: Rig, faults: str, words: str) -> float:
    """Set the mock robot's faults; returns when it said that they are in force."""
    mark = made.mock_log.mark()
    made.observer.set_faults(faults)
    return wait_until(lambda: made.mock_log.find(mark, words), words)


def _stopped(
    made: Rig, expected: Sequence[str], mark: int, begun: float, first: int
) -> dict[str, Any]:
    """What came of a fault that has to stop the arm."""
    reason, detail = wait_until(lambda: made.policy_log.stop(mark), "a stop")
    observer = made.observer
    silent = reason == "second_publisher"  # the arm is left to itself then
    if silent:
        wait_until(lambda: time.time() - observer.commands[-1][0] > HELD / RATE, "silence")
    else:
        noticed = len(observer.commands)
        wait_until(lambda: _still(observer.commands[noticed:]), "standstill")
    count, speed = _before(made, mark, first)
    commands = [values for _, values in observer.commands]
    after = np.array(commands[count:]).reshape(-1, len(JOINTS))
    if silent and len(after):  # nothing more came: it stays where it is
        after = np.concatenate([after, np.repeat(after[-1:], HELD, axis=0)])
    before = np.array(commands[count - 6 : count])
    found = stopping(before, after, speed, LIMITS)
    found["problems"] += outside(np.array(commands[first:]), LIMITS)
    if not in_motion(before, LIMITS, 0.1):
        found["problems"].append(STOOD)
    if reason not in expected:
        found["problems"].append(f"named {reason}, expected {' or '.join(expected)}")
    safe = observer.commands[count][0] - begun if len(after) else math.nan
    return {"reason": reason, "detail": detail, "safe_ms": 1e3 * safe, **found}


def _before(made: Rig, mark: int, first: int) -> tuple[int, Array]:
    """Return (how many commands there were before the stop, their last speed in rad/s).

    The last tick of the black box is the one that stopped, with the command that left in it.
    """

    def written() -> Path | None:
        lines = (text for _, text in made.policy_log.lines(mark))
        return next((Path(t.split(": ", 1)[1]) for t in lines if t.startswith("black box: ")), None)

    ticks = Recording.load(wait_until(written, "the black box")).ticks
    sent, times = ticks["commanded"], ticks["time"]

    def match() -> int | None:
        found = np.array([values for _, values in made.observer.commands[first - 1 :]])
        same = (found[:-1] == sent[-2]).all(axis=1) & (found[1:] == sent[-1]).all(axis=1)
        return first + int(np.flatnonzero(same)[0]) if same.any() else None

    count = wait_until(match, "the first command of the stop")
    return count, last_speed(sent[:-1], times[:-1], LIMITS.period)


def _going_on(made: Rig, case: Case, mark: int, begun: float, first: int) -> dict[str, Any]:
    """What came of a fault that must not stop the arm."""
    observer = made.observer
    asked = len(observer.traces)
    wanted = asked + round(LOOK_S * RATE)
    wait_until(lambda: len(observer.traces) >= wanted or made.policy_log.stop(mark), "commands")
    stop = made.policy_log.stop(mark)
    commands = np.array([values for _, values in observer.commands[first:]])
    problems = outside(commands, LIMITS)
    if stop:
        problems.append(f"it stopped: {stop[0]}: {stop[1]}")
    elif case.moves and not np.ptp(commands, axis=0).max() > LIMITS.step:
        problems.append("it did not move on")
    return {"reason": stop[0] if stop else "", "commands": len(commands), "problems": problems}


def _still(commands: Sequence[tuple[float, Array]]) -> bool:
    if len(commands) <= HELD:
        return False
    last = np.array([values for _, values in commands[-HELD:]])
    return bool((last == last[0]).all())


def _rearm(made: Rig) -> float:
    """Re-arm as soon as that is accepted; returns after how many seconds it was."""
    begin = time.monotonic()
    answers = [""]

    def accepted() -> bool:
        made.heard = made.policy_log.mark()  # later stops are of the next start
        done, answer = made.observer.rearm()
        answers.append(answer)
        # Under load an answer can come too late: the next one says that nothing is left to do.
        return done or answer.endswith(_GOING)

    try:
        wait_until(accepted, "a re-arm")
    except CommandError as error:
        raise CommandError(f"{error}; the last answer: {answers[-1]}") from None
    return time.monotonic() - begin


def _in_motion(made: Rig) -> list[str]:
    """Wait until a start is over and the arm moves at a good speed.

    Returns:
        Stops that nobody asked for, meanwhile or before; the policy node was re-armed.
    """
    observer, stops = made.observer, []
    begin = len(observer.traces)

    def moving() -> bool:
        nonlocal begin
        if stop := made.policy_log.stop(made.heard):
            stops.append(": ".join(stop))
            _rearm(made)
            begin = len(observer.traces)
        recent = np.array([values for _, values in observer.commands[-6:]])
        return len(observer.traces) >= begin + _STARTED and in_motion(recent, LIMITS)

    wait_until(moving, "motion")
    return stops


def _settled_threads(made: Rig, before: int) -> int:
    """Threads of the policy node, once the writing of the black box is over."""
    end = time.monotonic() + 10.0
    while (found := made.usage()[0]) != before and time.monotonic() < end:
        time.sleep(0.05)
    return found


def _line(row: dict[str, Any]) -> str:
    came = row["reason"] or "goes on"
    safe = f"safe after {row['safe_ms']:6.1f} ms" if row.get("safe_ms") is not None else ""
    wrong = "; ".join(row["problems"]) or "as it should"
    return f"{row['clock']:4s} {row['fault']:28s} {came:18s} {safe:22s} {wrong}"


def main(arguments: list[str] | None = None) -> None:
    names = [case.name for case in cases(MEASURED)]
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--clocks", nargs="+", choices=CLOCKS, default=list(CLOCKS))
    parser.add_argument("--faults", nargs="+", choices=names, help="these alone")
    parser.add_argument("--patient", action="store_true", help="long deadlines, for a busy machine")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the manual")
    args = parser.parse_args(arguments)
    report = run(args)
    if args.json:
        write_json(report, args.json)
    if args.markdown:
        print("\n\n".join(fault_tables.markdown(report).values()))


if __name__ == "__main__":
    main()
