"""A bag looked through before it is imported: is all there, and can its times be trusted?"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from lram_core.errors import DataError, listed
from lram_ros.adapters.registry import make_adapters
from lram_ros.bags.cuts import Cut, CutSource, each_once
from lram_ros.bags.file_order import JUMP, check_order
from lram_ros.bags.recording import SECOND, Bag, BagMessage
from lram_ros.message_fields import InputError, has_header, message_class
from lram_ros.robot_contract import RobotContract

CLOCK = "/clock"
_CLOCK_TYPE = "rosgraph_msgs/msg/Clock"
_SKEW = 60 * SECOND  # ns; stamps further from the record times are of another clock
_AROUND = 20  # messages on each side of a step that tell a jump from a delay

Times = npt.NDArray[np.int64]


@dataclass
class CommandTrack:
    """All commands of one sink, in the order of their record times.

    Attributes:
        topic: full name.
        times: record times in ns.
        stamps: header stamps in ns; zeros where the type has none.
        values: float64 (N, fields), in the sink's units.
    """

    topic: str
    times: Times
    stamps: Times
    values: npt.NDArray[np.float64]


@dataclass
class Survey:
    """What the first pass over a bag found.

    Attributes:
        names: contract topic → full name in the bag.
        times: full name → record times in ns of an input topic.
        stamps: full name → header stamps in ns, of those that have them.
        commands: of each sink; empty where actions are not taken from commands.
        cuts: where episodes are cut.
        simulated: the stamps are of ``/clock``, not of the recorder's clock.
        ticks_simulated: so are the ticks.
        clock: record times, and the ROS times that ``/clock`` had then; ns.
        notes: repairs, for the summary.
    """

    names: dict[str, str]
    times: dict[str, Times] = field(default_factory=dict)
    stamps: dict[str, Times] = field(default_factory=dict)
    commands: list[CommandTrack] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)
    simulated: bool = False
    ticks_simulated: bool = False
    clock: tuple[Times, Times] = (np.empty(0, np.int64), np.empty(0, np.int64))
    notes: list[str] = field(default_factory=list)

    def ros_time(self, times: npt.ArrayLike) -> Times:
        """Return record times as the ticks' times: of ``/clock`` where that makes them."""
        recorded = np.asarray(times, np.int64)
        if not self.ticks_simulated:
            return recorded
        row = np.searchsorted(self.clock[0], recorded, side="right") - 1
        return np.where(row >= 0, self.clock[1][np.maximum(row, 0)], 0)


def survey(
    bag: Bag, robot: RobotContract, namespace: str, commanded: bool, cutter: CutSource | None
) -> Survey:
    """Look through a bag.

    Args:
        bag: the bag.
        robot: whose topics are needed.
        namespace: of topics whose names are relative in the contract.
        commanded: whether the command topics are needed.
        cutter: what cuts episodes, besides the contract's episode topic.

    Raises:
        DataError: a topic is missing, of another type or definition; a clock jumped; commands
            come from two publishers. Each names the file, the topic and the time.
    """
    found = Survey(full_names(robot, namespace))
    inputs = [found.names[topic.topic] for topic in robot.topics]
    sinks = [full_name(sink.topic, namespace) for sink in robot.sinks] if commanded else []
    check_topics(bag, robot, found.names, sinks, cutter)
    note = check_order(bag)
    found.notes += [note] if note else []
    _read_times(bag, robot, found, inputs, sinks, cutter)
    _choose_clock(bag, robot, found)
    return found


def full_names(robot: RobotContract, namespace: str) -> dict[str, str]:
    """Contract topic → full name."""
    return {topic.topic: full_name(topic.topic, namespace) for topic in robot.topics}


def full_name(topic: str, namespace: str) -> str:
    """A topic's name in a bag: absolute, under ``namespace`` where it is relative."""
    if topic.startswith("/"):
        return topic
    return f"/{namespace.strip('/')}/{topic}" if namespace.strip("/") else f"/{topic}"


def stamp_in(message: BagMessage) -> int:
    """Read the stamp of a message whose type begins with a header, without decoding the rest."""
    order = "<" if message.data[1] & 1 else ">"
    seconds, nanoseconds = struct.unpack_from(order + "iI", message.data, 4)
    return int(seconds * SECOND + nanoseconds)


def check_topics(
    bag: Bag,
    robot: RobotContract,
    names: dict[str, str],
    sinks: Sequence[str] = (),
    cutter: CutSource | None = None,
) -> None:
    """Is all there that a robot contract names, as the types installed here?

    Args:
        bag: the bag.
        robot: the contract.
        names: contract topic → full name.
        sinks: full names of the command topics, where those are needed.
        cutter: what cuts episodes, if anything does.

    Raises:
        DataError: a topic is missing, of another type or definition, or commands come from two
            publishers.
    """
    wanted = {names[topic.topic]: topic.type for topic in robot.topics}
    wanted |= dict(zip(sinks, (sink.type for sink in robot.sinks), strict=False))
    missing = [name for name in wanted if not (name in bag.topics and bag.topics[name].count)]
    if cutter is not None and cutter.topic not in bag.topics:
        missing.append(cutter.topic)
    if missing:
        first = next(bag.messages(list(bag.topics)), None)
        when = f"from {bag.when(first.time)} on" if first else "empty"
        raise DataError(
            f"{bag.path} ({when}): no messages on {listed(missing)}, which {robot.source} needs; "
            f"it has {listed(name for name, about in bag.topics.items() if about.count)}"
        )
    for name, kind in wanted.items():
        about = bag.topics[name]
        if about.type != kind or about.others:
            raise DataError(
                f"{bag.path}: {name} is {listed([about.type, *about.others])} (first at "
                f"{_first(bag, name)}), "
                f"{robot.source} says {kind}"
            )
        if difference := bag.definition_difference(name):
            raise DataError(
                f"{bag.path}: {name} (first at {_first(bag, name)}): its {kind} has another "
                f"definition than "
                f"the one installed here: {difference}"
            )
    for name in sinks:
        count = bag.topics[name].publishers
        if count > 1:
            raise DataError(
                f"{bag.path}: {name} (first at {_first(bag, name)}): {count} publishers; whose "
                f"commands were executed is not to be told"
            )


def _first(bag: Bag, topic: str) -> str:
    first = next(bag.messages([topic]), None)
    return bag.when(first.time) if first else "no time"


def _read_times(
    bag: Bag,
    robot: RobotContract,
    found: Survey,
    inputs: Sequence[str],
    sinks: Sequence[str],
    cutter: CutSource | None,
) -> None:
    """One pass over the bag: times and stamps of the inputs, all commands, all cuts."""
    stamped = {found.names[topic.topic]: _begins_with_header(topic.type) for topic in robot.topics}
    times: dict[str, list[int]] = {name: [] for name in inputs}
    stamps: dict[str, list[int]] = {name: [] for name in inputs}
    adapters = dict(zip(sinks, make_adapters(robot), strict=False))
    commands: dict[str, list[tuple[int, int, npt.NDArray[np.float64]]]] = {n: [] for n in sinks}
    clock: list[tuple[int, int]] = []
    topics = {*inputs, *sinks, CLOCK, *([cutter.topic] if cutter else [])}
    for message in bag.messages(topics):
        name = message.topic
        if name in times:
            times[name].append(message.time)
            if stamped[name]:
                stamps[name].append(stamp_in(message))
        if name in adapters:
            decoded = bag.decode(message)
            try:
                values = adapters[name].decode(decoded)
            except InputError as error:
                raise DataError(f"{bag.place(message)}: {error}") from None
            header = getattr(decoded, "header", None)
            stamp = header.stamp.sec * SECOND + header.stamp.nanosec if header else 0
            commands[name].append((message.time, int(stamp), values))
        if cutter is not None and name == cutter.topic:
            found.cuts += cutter.read(bag, message)
        if name == CLOCK and bag.topics[CLOCK].type == _CLOCK_TYPE:
            clock.append((message.time, stamp_in(message)))
    for name in (*inputs, *sinks):
        if not (times.get(name) or commands.get(name)):
            raise DataError(
                f"{bag.path}: {name}: {bag.topics[name].count} messages by its description, none "
                f"in its files"
            )
    found.cuts = each_once(found.cuts)
    found.times = {name: np.array(values, np.int64) for name, values in times.items()}
    found.clock = tuple(np.array(clock, np.int64).reshape(-1, 2).T)
    for name, rows in commands.items():
        track = CommandTrack(
            name,
            np.array([row[0] for row in rows], np.int64),
            np.array([row[1] for row in rows], np.int64),
            np.stack([row[2] for row in rows]),
        )
        _check_publishers(bag, track)
        found.commands.append(track)
    found.stamps = {n: np.array(s, np.int64) for n, s in stamps.items() if stamped[n]}


def _begins_with_header(kind: str) -> bool:
    cls = message_class(kind)
    return has_header(cls) and next(iter(cls.get_fields_and_field_types())) == "header"


def _check_publishers(bag: Bag, track: CommandTrack) -> None:
    """One stamp answered in two ways: two policies, or a policy and a person, at once."""
    answers: dict[int, int] = {}
    for row, stamp in enumerate(track.stamps.tolist()):
        if not stamp:
            continue
        before = answers.setdefault(stamp, row)
        if not np.array_equal(track.values[before], track.values[row]):
            raise DataError(
                f"{bag.path}: {track.topic} at {bag.when(int(track.times[row]))}: two commands of "
                f"one stamp with other values; there were two publishers"
            )


def _choose_clock(bag: Bag, robot: RobotContract, found: Survey) -> None:
    """Which clock the stamps are of, and whether it went on evenly."""
    checked = {n: s for n, s in found.stamps.items() if len(s)}
    for name, stamps in checked.items():
        # The nearest: of a clock that jumped, one side of the jump is right.
        if np.abs(found.times[name] - stamps).min() > _SKEW:
            found.simulated = True
    if found.simulated and robot.tick_source == "clock" and not len(found.clock[0]):
        name = next(iter(checked))
        raise DataError(
            f"{bag.path}: {name} at {bag.when(int(found.times[name][0]))} is stamped "
            f"{checked[name][0] / SECOND:.3f} s: not of the recorder's clock, and the bag has no "
            f"{CLOCK}"
        )
    found.ticks_simulated = found.simulated and robot.tick_source == "clock"
    for name, stamps in checked.items():
        _check_jumps(bag, name, found.times[name], stamps, found.simulated)


def _check_jumps(bag: Bag, name: str, times: Times, stamps: Times, simulated: bool) -> None:
    back = np.flatnonzero(np.maximum.accumulate(stamps)[:-1] - stamps[1:] > JUMP)
    if len(back):
        row = int(back[0]) + 1
        by = (int(stamps[:row].max()) - int(stamps[row])) / SECOND
        raise DataError(
            f"{bag.path}: clock jump: {name} at {bag.when(int(times[row]))}: its stamps go back "
            f"by {by:.3f} s. Record again, or cut the bag there"
        )
    if simulated or len(stamps) < 2:
        return  # a simulation stands still and hurries as it likes
    offset = times - stamps
    step = _step(offset)
    if step is not None:
        by = (int(offset[step - 1]) - int(offset[step])) / SECOND
        raise DataError(
            f"{bag.path}: clock jump: {name} at {bag.when(int(times[step]))}: its stamps jump by "
            f"{by:+.3f} s against the record time. Record again, or cut the bag there"
        )


def _step(offset: Times) -> int | None:
    """Where the difference of two clocks changes for good by more than JUMP; None if nowhere.

    The least of some messages counts: a message can be late, but not early.
    """
    padded = np.pad(offset, _AROUND, mode="edge")
    least = np.lib.stride_tricks.sliding_window_view(padded, _AROUND).min(1)
    before, after = least[: len(offset)], least[_AROUND : _AROUND + len(offset)]
    changed = np.flatnonzero(np.abs(after - before) > JUMP)
    changed = changed[changed > 0]
    if not len(changed):
        return None
    steps = np.abs(np.diff(offset))
    near = [int(row) for row in changed if steps[row - 1] > JUMP]
    return near[0] if near else None
