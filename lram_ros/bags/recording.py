"""One rosbag2 recording: its topics, its messages in order of time, and their values."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader
from rosbags.typesys import get_types_from_idl, get_types_from_msg

from lram_core.errors import DataError, listed, one_line
from lram_ros.bag_types import BagTypes
from lram_ros.bags.mcap_scan import is_cut, scan_mcap

SECOND = 1_000_000_000
_MOST_SURPLUS = 32
_MOST_STEPS = 100_000_000  # of the database's machine; a message takes some ten


@dataclass(frozen=True)
class BagMessage:
    """A message as it was recorded: topic, record time in ns, CDR data."""

    topic: str
    time: int
    data: bytes


@dataclass
class BagTopic:
    """What a bag says about a topic.

    Attributes:
        name, type: of the topic.
        count: number of messages.
        publishers: how many were there when the recorder looked; 0 where it did not say.
        definition, digest: text of the message definition and its hash; empty where unknown.
        others: further types on the same topic.
    """

    name: str
    type: str
    count: int = 0
    publishers: int = 0
    definition: str = ""
    digest: str = ""
    others: list[str] = field(default_factory=list)


class Bag:
    """A recording opened for reading.

    Attributes:
        path: folder, or storage file.
        files: its storage files, but for compressed ones.
        topics: name → what is said about it.
        start: record time of the first message in ns; 0 for an empty bag.
        recovered: it is cut, and was opened as far as it is whole.
    """

    def __init__(self, path: Path | str, recover: bool = False) -> None:
        """Args:
            path: a bag's folder, or its .mcap or .db3 file.
            recover: open an MCAP recording that was cut short as far as it is whole.

        Raises:
            DataError: there is no bag, or it is damaged; names the file, and the last whole
                message of one that was cut.
        """
        self.path = Path(path)
        self.recovered = False
        self.topics: dict[str, BagTopic] = {}
        self.start = 0
        self._types = BagTypes()
        self._reader: Reader | None = None
        self._scanned: list[Path] = []
        self.files = self._files()
        cut = [file for file in self.files if file.suffix == ".mcap" and is_cut(file)]
        if cut and recover:
            self._open_cut()
        elif cut:
            raise DataError(self._say_cut(cut[0]))
        else:
            self._open()

    def __enter__(self) -> Bag:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the files back."""
        if self._reader is not None and self._reader.is_open:
            self._reader.close()

    def messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        """Yield the messages of some topics in the order of their record times.

        Raises:
            DataError: the file is damaged; names the last message that could be read.
        """
        last: BagMessage | None = None
        try:
            for last in self._messages(topics):
                yield last
        except Exception as error:
            # Only the libraries run in here, and damaged data make them fail in many ways.
            after = f"after {last.topic} at {self.when(last.time)}" if last else "at its beginning"
            raise DataError(f"{self.path}: damaged {after} ({one_line(error)})") from None

    def decode(self, message: BagMessage) -> Any:
        """Return a message's values, by the installed definition of its type.

        Raises:
            DataError: the data are not those of such a message; names topic and time.
        """
        kind = self.topics[message.topic].type
        if kind not in self._types.store.fielddefs:
            self._types.definition(kind)
        try:
            return self._deserialize(message.data, kind)
        except Exception as error:
            raise DataError(
                f"{self.place(message)}: not a {kind} as it is defined here ({one_line(error)})"
            ) from None

    def _deserialize(self, data: bytes, kind: str) -> Any:
        try:
            return self._types.store.deserialize_cdr(data, kind)
        except Exception:
            # serialize_message of rclpy counts four bytes too many for an empty array of doubles.
            for surplus in range(4, _MOST_SURPLUS + 1, 4):
                with suppress(Exception):
                    return self._types.store.deserialize_cdr(data[:-surplus], kind)
            raise

    def when(self, time: int) -> str:
        """A record time for people: seconds into the bag, and the date."""
        date = datetime.fromtimestamp(time / SECOND, timezone.utc)
        return f"{(time - self.start) / SECOND:.3f} s ({date:%Y-%m-%d %H:%M:%S} UTC)"

    def place(self, message: BagMessage) -> str:
        """File, topic and time of a message."""
        return f"{self.path}: {message.topic} at {self.when(message.time)}"

    def definition_difference(self, topic: str) -> str:
        """Say how the recorded definition of a topic's type differs from the installed one; empty
        where it does not, or the bag does not tell.

        Raises:
            DataError: the type is not installed.
        """
        about = self.topics[topic]
        ours, digest = self._types.definition(about.type)
        if about.digest:
            if about.digest == digest:
                return ""
            theirs_fields = _fields(about.definition, about.type) or ["unknown fields"]
            return f"{listed(theirs_fields)} instead of {listed(_fields(ours, about.type))}"
        if not about.definition:
            return ""
        theirs, mine = _fields(about.definition, about.type), _fields(ours, about.type)
        return "" if theirs == mine else f"{listed(theirs)} instead of {listed(mine)}"

    def _files(self) -> list[Path]:
        if self.path.is_file():
            return [self.path]
        if not self.path.is_dir():
            raise DataError(f"{self.path}: no such bag")
        found = sorted(p for p in self.path.iterdir() if p.suffix in (".mcap", ".db3"))
        compressed = list(self.path.glob("*.zstd"))
        if not found and not compressed:
            raise DataError(f"{self.path}: no bag here (no .mcap and no .db3 file)")
        return found

    def _open(self) -> None:
        path = self.path
        if path.is_dir() and not (path / "metadata.yaml").is_file():
            if len(self.files) != 1:
                raise DataError(
                    f"{path}: metadata.yaml is missing, and there are {len(self.files)} files; "
                    f"'ros2 bag reindex' makes it anew"
                )
            path = self.files[0]
        try:
            reader = Reader(path)
            reader.open()
        except Exception as error:
            raise DataError(
                f"{path}: not a readable bag ({one_line(error)}){self._how_far()}"
            ) from None
        self._reader = reader
        self.start = reader.start_time if reader.message_count else 0
        for connection in reader.connections:
            self._add(connection)

    def _how_far(self) -> str:
        """The last message that a damaged database still gives, for the complaint about it."""
        query = (
            "SELECT topics.name, messages.timestamp FROM messages "
            "JOIN topics ON topics.id = messages.topic_id ORDER BY messages.id"
        )
        last = None
        for file in self.files:
            if file.suffix != ".db3":
                continue
            with (
                suppress(Exception),  # damaged data make the library fail in many ways
                closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as database,
            ):
                # A damaged tree may lead in circles.
                database.set_progress_handler(lambda: 1, _MOST_STEPS)
                for last in database.execute(query):
                    self.start = self.start or last[1]
        return "" if last is None else f"; damaged after {last[0]} at {self.when(last[1])}"

    def _add(self, connection: Connection) -> None:
        known = self.topics.get(connection.topic)
        profiles = len(getattr(connection.ext, "offered_qos_profiles", ()))
        if known is None:
            known = self.topics[connection.topic] = BagTopic(connection.topic, connection.msgtype)
        elif known.type != connection.msgtype:
            known.others.append(connection.msgtype)
        known.count += connection.msgcount
        known.publishers += profiles
        known.definition = known.definition or connection.msgdef.data
        known.digest = known.digest or connection.digest

    def _open_cut(self) -> None:
        self.recovered = True
        self._scanned = [file for file in self.files if file.suffix == ".mcap"]
        for file in self._scanned:
            for message in scan_mcap(file):
                about = self.topics.setdefault(message.topic, BagTopic(message.topic, message.type))
                about.count += 1
                about.definition = message.definition
                self.start = min(self.start or message.time, message.time)
        if not self.topics:
            raise DataError(f"{self.path}: cut before its first whole message")

    def _say_cut(self, file: Path) -> str:
        last, first = None, 0
        for message in scan_mcap(file):
            first = first or message.time
            last = message
        if last is None:
            return f"{file}: cut before its first whole message"
        self.start = first
        return (
            f"{file}: cut short; the last whole message is {last.topic} at "
            f"{self.when(last.time)}. --recover takes what is whole"
        )

    def _messages(self, topics: Collection[str]) -> Iterator[BagMessage]:
        if self._reader is None:
            found = [
                BagMessage(m.topic, m.time, m.data)
                for file in self._scanned
                for m in scan_mcap(file)
                if m.topic in topics
            ]
            yield from sorted(found, key=lambda message: message.time)
            return
        wanted = [c for c in self._reader.connections if c.topic in topics]
        if not wanted:
            return
        for connection, time, data in self._reader.messages(wanted):
            yield BagMessage(connection.topic, time, bytes(data))


def _fields(definition: str, kind: str) -> list[str]:
    """``type name`` of each field of a message, as its definition has them."""
    from rosbags.interfaces import Nodetype

    def shown(what: Any) -> str:
        node, inner = what
        if node in (Nodetype.ARRAY, Nodetype.SEQUENCE):
            kind, size = inner
            return f"{shown(kind)}[{size or ''}]"
        return str(inner[0]) if isinstance(inner, tuple) else str(inner)

    with suppress(Exception):
        if definition.startswith("=" * 80):
            types = get_types_from_idl(definition)
        else:
            types = get_types_from_msg(definition, kind)
        return [f"{shown(what)} {name}" for name, what in types[kind][1]]
    return []
