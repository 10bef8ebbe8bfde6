"""Where a recording is cut into episodes, on a robot that announces none: a topic, or a service."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lram_core.errors import DataError, listed
from lram_ros.bags.recording import Bag, BagMessage

EVENTS = "/_service_event"  # what service introspection appends to the service's name
_REQUEST_SENT, _REQUEST_RECEIVED = 0, 1
# Message types that cut, and how.
TOPIC_TYPES = {
    "std_msgs/msg/Bool": "true begins an episode, false ends it",
    "std_msgs/msg/String": "a text begins an episode of that task, an empty one ends it",
    "std_msgs/msg/Empty": "each message ends an episode and begins the next",
}


@dataclass(frozen=True)
class Cut:
    """One place to cut.

    Attributes:
        time: record time in ns; what comes after it belongs to the next episode.
        begins: whether an episode begins there.
        task: its task, where the recording says it.
        sent: it is a service's request as its client sent it, not as it was received.
    """

    time: int
    begins: bool
    task: str = ""
    sent: bool = False


class CutSource:
    """A topic, or a service whose calls were recorded, that cuts episodes.

    Attributes:
        topic: full name of the topic to read.
    """

    def __init__(self, bag: Bag, name: str) -> None:
        """Args:
            bag: the bag.
            name: full name of a topic, or of a service.

        Raises:
            DataError: the bag has neither, or the topic is of a type that cuts nothing.
        """
        events = name.rstrip("/") + EVENTS
        self._service = name not in bag.topics and events in bag.topics
        self.topic = events if self._service else name
        if self.topic not in bag.topics:
            raise DataError(
                f"{bag.path}: neither a topic {name} nor calls of a service {name} "
                f"(recorded with service introspection) are in it; it has {listed(bag.topics)}"
            )
        kind = bag.topics[self.topic].type
        if not self._service and kind not in TOPIC_TYPES:
            raise DataError(
                f"{bag.path}: {name} is {kind}; episodes are cut by {listed(TOPIC_TYPES)}, or by "
                f"a service"
            )
        self._kind = kind

    def read(self, bag: Bag, message: BagMessage) -> list[Cut]:
        """Return the cut that a message of :attr:`topic` makes, if any."""
        if self._service:
            # The event's kind is its first byte, after the four that say how it is encoded: the
            # types of request and response need not be known.
            event = message.data[4]
            if event not in (_REQUEST_SENT, _REQUEST_RECEIVED):
                return []
            return [Cut(message.time, True, sent=event == _REQUEST_SENT)]
        if self._kind == "std_msgs/msg/Empty":
            return [Cut(message.time, True)]
        value: Any = bag.decode(message).data
        task = value if isinstance(value, str) else ""
        return [Cut(message.time, bool(value), task)]


def each_once(cuts: list[Cut]) -> list[Cut]:
    """Leave out requests as they were sent, where those that were received are recorded as well."""
    received = [cut for cut in cuts if not cut.sent]
    return received or cuts
