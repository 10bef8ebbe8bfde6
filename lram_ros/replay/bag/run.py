"""``lram replay BAG``: read, ask, measure, and write what came of it."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console

from lram_core.data.files import atomic_folder, check_replaceable
from lram_core.errors import CommandError, LramError
from lram_core.policy import Policy
from lram_core.report.page import write_page, write_text
from lram_core.runtimes import AUTO, check_name
from lram_ros.bags.recording import Bag
from lram_ros.loaded_policy import LoadedPolicy
from lram_ros.replay.bag.live import LiveOptions, compare_live, play_live
from lram_ros.replay.bag.offline import OfflinePolicy, replay_offline
from lram_ros.replay.bag.output import topic_name, write_predictions
from lram_ros.replay.bag.page import replay_page
from lram_ros.replay.bag.record import BagPart, Part, read_record
from lram_ros.replay.bag.summary import Evaluation, evaluate, summarise
from lram_ros.replay.bag.tables import print_replay
from lram_ros.replay.bag.thresholds import Thresholds
from lram_ros.replay.bag.ticks import refused, replay_ticks
from lram_ros.report.machine import describe_machine
from lram_ros.robot_contract import RobotContract
from lram_ros.surroundings import stop_request

REPORT, SUMMARY, PREDICTIONS = "report.html", "summary.json", "bag"


@dataclass(frozen=True)
class ReplayOptions:
    """What to replay.

    Attributes:
        bag: folder or storage file.
        policies: bundles; each is asked at every tick.
        contract: robot contract that the bag was recorded with.
        namespace: in which it was.
        part: of the bag.
        target_return: to ask for; None: each bundle's, by task.
        runtime, precision: what runs the models.
        embodiment: which one, of a bundle with several.
        live, rate: whether each bundle also answers as a live node, and how fast it is played.
        out: folder of the results; None: they are printed only.
        thresholds: what has to be reached.
        as_json: print plain data instead of tables.
    """

    bag: Path
    policies: tuple[Path, ...]
    contract: Path
    namespace: str = "/"
    part: Part = field(default_factory=Part)
    target_return: float | None = None
    runtime: str = AUTO
    precision: str = ""
    embodiment: str = ""
    live: bool = False
    rate: float = 1.0
    out: Path | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    as_json: bool = False


def replay_bag(options: ReplayOptions, console: Console) -> list[str]:
    """Replay a bag.

    Returns:
        A line for each threshold that was missed.

    Raises:
        LramError: bag, contract or bundle is unusable, or they do not fit together.
        Stopped: of a live run: SIGINT or SIGTERM.
    """
    check_name(options.runtime)
    robot = RobotContract.load(options.contract)
    if options.out is not None:
        check_replaceable(options.out, SUMMARY, "result of 'lram replay'")
    if options.live and options.part != Part():
        raise CommandError("--live plays the whole bag; leave --from and --to out")
    with BagPart(options.bag, options.part) as bag:
        record = read_record(bag, robot, options.namespace)
        policies = load_policies(options, robot)
        wire = [item.wire_name for sink in robot.sinks for item in sink.fields]
        options.thresholds.check_names(wire)
        ticks = replay_ticks(bag, record, robot)
        replayed = replay_offline(
            ticks, policies, record.start, lambda tick, error: refused(bag, record, tick, error)
        )
        if not len(replayed):
            raise LramError(
                f"bag {options.bag}: no tick that a policy would answer, in "
                f"{record.duration:.3f} s from {bag.when(record.first)} on"
                + (f"; {replayed.refused[0]}" if replayed.refused else "")
            )
        found = evaluate(str(options.bag), robot, record, replayed, policies)
        if options.live:
            found.live = _live(options, bag, robot, found, policies)
        summary = summarise(found)
        missed = options.thresholds.missed(summary)
        summary["thresholds_missed"] = missed
        if options.out is not None:
            _write(options, options.out, bag, found, summary, policies, missed)
    if options.as_json:
        console.file.write(json.dumps(summary, indent=1) + "\n")
    else:
        print_replay(console, summary)
        if options.out is not None:
            console.print(f"report in {options.out / REPORT}", highlight=False, soft_wrap=True)
    return missed


def load_policies(options: ReplayOptions, robot: RobotContract) -> list[OfflinePolicy]:
    """Load every bundle. Raises LramError where one does not fit the robot; names both."""
    found = []
    for path, name in zip(options.policies, short_names(options.policies), strict=True):
        policy = LoadedPolicy.load(
            robot,
            str(path),
            Policy.load,
            runtime=options.runtime,
            precision=options.precision,
            embodiment=options.embodiment,
        )
        found.append(OfflinePolicy(name, robot, policy, options.target_return))
    return found


def short_names(paths: tuple[Path, ...]) -> list[str]:
    """Return a name for each bundle: its folder's, with a number where two are the same."""
    names: list[str] = []
    for path in paths:
        name = path.resolve().name
        taken = {topic_name(other) for other in names}
        candidate, number = name, 2
        while topic_name(candidate) in taken:
            candidate, number = f"{name} {number}", number + 1
        names.append(candidate)
    return names


def _live(
    options: ReplayOptions,
    bag: Bag,
    robot: RobotContract,
    found: Evaluation,
    policies: list[OfflinePolicy],
) -> list[dict[str, Any]]:
    results = []
    parameters: list[tuple[str, Any]] = [
        ("runtime", options.runtime),
        ("precision", options.precision),
        ("embodiment", options.embodiment),
    ]
    if options.target_return is not None:
        parameters.append(("target_return", float(options.target_return)))
    live = LiveOptions(options.rate, options.namespace, tuple(parameters))
    with stop_request() as stop:
        for policy, answers in zip(policies, found.replayed.answers, strict=True):
            traces = play_live(options.bag, robot, policy.loaded.bundle, live, stop)
            results.append(
                compare_live(bag, found.record, robot, policy, found.replayed, answers, traces)
            )
    return results


def _write(
    options: ReplayOptions,
    out: Path,
    bag: Bag,
    found: Evaluation,
    summary: dict[str, Any],
    policies: list[OfflinePolicy],
    missed: list[str],
) -> None:
    """Everything into a folder, which appears whole or not at all."""
    judged = options.thresholds != Thresholds()
    with atomic_folder(out) as work:
        topics, left = write_predictions(
            work / PREDICTIONS, bag, found.robot, found.replayed, policies, found.record.start
        )
        if left:
            found.notes.append(
                f"Not copied into the new bag, their types are not defined: {', '.join(left)}."
            )
        summary["files"] = {"bag": PREDICTIONS, "topics": topics}
        files = {
            "bag with the predictions": f"{PREDICTIONS}/{PREDICTIONS}.mcap",
            "summary": SUMMARY,
        }
        page = replay_page(found, summary, missed, judged, files, describe_machine())
        write_page(work / REPORT, page)
        text = json.dumps(summary, indent=1, ensure_ascii=False, allow_nan=False)
        write_text(work / SUMMARY, text + "\n")
