"""The order in which a bag's messages were written; readers hide it, they sort by record time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from lram_core.errors import DataError
from lram_ros.bags.mcap_scan import scan_mcap
from lram_ros.bags.recording import SECOND, Bag

JUMP = SECOND // 2  # ns; a larger step of a clock is a jump, a smaller one a message out of order


def check_order(bag: Bag) -> str:
    """Look at the record times in the order of writing.

    Returns:
        A note if messages are out of order by less than JUMP, else an empty text.

    Raises:
        DataError: the recorder's clock went back; names file, topic and time.
    """
    moved, first = 0, ""
    newest, newest_topic = 0, ""
    for file, topic, time in _written(bag):
        if time >= newest:
            newest, newest_topic = time, topic
            continue
        back = (newest - time) / SECOND
        if newest - time > JUMP:
            raise DataError(
                f"{file}: clock jump: {topic} at {bag.when(time)} was recorded after "
                f"{newest_topic} at {bag.when(newest)}: the record time went back by {back:.3f} s. "
                f"Record again, or cut the bag there"
            )
        moved += 1
        first = first or f"{topic} at {bag.when(time)}"
    if not moved:
        return ""
    return f"{moved} messages were recorded out of order (first: {first}); put in order"


def _written(bag: Bag) -> Iterator[tuple[Path, str, int]]:
    """(file, topic, record time) of each message; of compressed files nothing."""
    for file in bag.files:
        if file.suffix == ".mcap":
            for message in scan_mcap(file):
                yield file, message.topic, message.time
        elif file.suffix == ".db3":
            yield from ((file, topic, time) for topic, time in _rows(file))


def _rows(file: Path) -> Iterator[tuple[str, int]]:
    query = (
        "SELECT topics.name, messages.timestamp FROM messages "
        "JOIN topics ON topics.id = messages.topic_id ORDER BY messages.id"
    )
    last = "its beginning"
    try:
        with closing(sqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as database:
            for topic, time in database.execute(query):
                last = f"{topic} at {time / SECOND:.3f} s"
                yield topic, time
    except sqlite3.Error as error:
        raise DataError(f"{file}: damaged after {last} ({error})") from None
