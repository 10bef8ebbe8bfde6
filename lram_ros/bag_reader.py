"""What is in a rosbag2 bag, and its messages as they were recorded. Needs no rclpy.

MCAP and sqlite3, compressed or not; a folder with ``metadata.yaml``, or a single ``.mcap`` file.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from rosbags.interfaces import Connection
from rosbags.rosbag2 import Reader, ReaderError

from lram_core.errors import DataError, listed
from lram_ros.bag_types import BagTypes


@dataclass(frozen=True)
class BagTopic:
    """A topic of a bag.

    Attributes:
        name: full name, as recorded.
        type: e.g. ``sensor_msgs/msg/JointState``; several, separated by commas, where the topic
            was recorded with more than one.
        messages: how many there are.
        type_hash: ``RIHS01_...`` of the type's definition; empty in bags that do not say.
        connections: of the reader.
    """

    name: str
    type: str
    messages: int
    type_hash: str
    connections: tuple[Connection, ...]


class BagReader:
    """Reads a bag; use as a context manager.

    Args:
        path: folder or file of the bag.

    Attributes:
        topics: name → :class:`BagTopic`, those without a message left out.

    Raises:
        DataError: there is no bag, it was cut short, or it cannot be read.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise DataError(f"bag {path}: does not exist")
        if self.path.is_dir() and not (self.path / "metadata.yaml").is_file():
            raise DataError(
                f"bag {path}: has no metadata.yaml; a recording that was cut short gets one by "
                f"'ros2 bag reindex'; the folder holds "
                f"{listed(sorted(entry.name for entry in self.path.iterdir()))}"
            )
        try:
            self._reader = Reader(self.path)
            self._reader.open()
        except (ReaderError, OSError) as error:
            raise DataError(f"bag {path}: {_one_line(error)}") from None
        self.topics = {topic.name: topic for topic in self._topics() if topic.messages}

    def __enter__(self) -> BagReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the files back."""
        if self._reader.is_open:
            self._reader.close()

    def messages(self, topics: Collection[str]) -> Iterator[tuple[int, str, bytes]]:
        """Yield (time, topic, serialized message) of some topics, in the order of the bag.

        Args:
            topics: names, all of them of the bag; at least one.

        The time is when the message was recorded, in nanoseconds.

        Raises:
            DataError: the bag is damaged.
        """
        wanted = [link for name in topics for link in self.topics[name].connections]
        assert wanted, "rosbags takes an empty list for all topics"
        try:
            for connection, time, data in self._reader.messages(wanted):
                yield time, connection.topic, bytes(data)
        except (ReaderError, OSError) as error:
            raise DataError(f"bag {self.path}: {_one_line(error)}") from None

    def _topics(self) -> Iterator[BagTopic]:
        for name, info in self._reader.topics.items():
            links = tuple(info.connections)
            yield BagTopic(
                name=name,
                type=", ".join(sorted({link.msgtype for link in links})),
                messages=info.msgcount,
                type_hash=next((link.digest for link in links if link.digest), ""),
                connections=links,
            )


def check_definition(topic: BagTopic, types: BagTypes) -> None:
    """Refuse messages whose bytes mean something else here than where they were recorded.

    Raises:
        DataError: the type is not installed, or is defined in another way than in the bag.
    """
    _, installed = types.definition(topic.type)
    if topic.type_hash.startswith("RIHS01_") and topic.type_hash != installed:
        raise DataError(
            f"{topic.name}: {topic.type} is defined in another way here than in the bag "
            f"({installed[:15]}… here, {topic.type_hash[:15]}… there)"
        )


def _one_line(error: object) -> str:
    return " ".join(str(error).split())
