"""An MCAP file read from its beginning, record by record, as far as it is whole.

A recorder that was killed leaves a file without its index, often cut in the middle of a record.
Readers refuse it; this one gives what is there.
"""

from __future__ import annotations

import importlib
import io
import struct
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

MAGIC = b"\x89MCAP0\r\n"
_ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"
_SCHEMA, _CHANNEL, _MESSAGE, _CHUNK, _DATA_END = 0x03, 0x04, 0x05, 0x06, 0x0F


@dataclass(frozen=True)
class ScannedMessage:
    """One message: topic, its type and the text of its definition, record time in ns, CDR data."""

    topic: str
    type: str
    definition: str
    time: int
    data: bytes


class _Cut(Exception):
    """The file ends here."""


def scan_mcap(path: Path) -> Iterator[ScannedMessage]:
    """Yield the messages of an MCAP file in the order they were written, up to where it is cut."""
    schemas: dict[int, tuple[str, str]] = {}
    channels: dict[int, tuple[str, int]] = {}
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            return
        try:
            yield from _records(file, path.stat().st_size, schemas, channels)
        except (_Cut, struct.error, KeyError):  # a number that is none, a channel that is not there
            return


def is_cut(path: Path) -> bool:
    """Whether an MCAP file lacks its end."""
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - len(MAGIC)))
        return size < 2 * len(MAGIC) or file.read() != MAGIC


def _records(
    file: BinaryIO,
    most: int,
    schemas: dict[int, tuple[str, str]],
    channels: dict[int, tuple[str, int]],
) -> Iterator[ScannedMessage]:
    """Yield the messages of consecutive records; none is longer than ``most`` bytes."""
    while head := file.read(9):
        if len(head) < 9:
            raise _Cut
        kind, size = head[0], struct.unpack("<Q", head[1:])[0]
        if kind == _DATA_END:
            return
        body = file.read(min(size, most))
        if kind == _CHUNK:
            # A chunk that is cut still begins with whole records, unless it is compressed.
            records = _chunk(body)
            yield from _records(io.BytesIO(records), len(records), schemas, channels)
        if len(body) < size:
            raise _Cut
        fields = io.BytesIO(body)
        if kind == _SCHEMA:
            (number,) = struct.unpack("<H", fields.read(2))
            name, _, text = _text(fields), _text(fields), _text(fields)
            schemas[number] = name, text
        elif kind == _CHANNEL:
            number, schema = struct.unpack("<HH", fields.read(4))
            channels[number] = _text(fields), schema
        elif kind == _MESSAGE:
            number, _, time = struct.unpack("<HIQ", fields.read(14))
            fields.seek(22)
            topic, schema = channels[number]
            yield ScannedMessage(topic, *schemas.get(schema, ("", "")), time, fields.read())


def _chunk(body: bytes) -> bytes:
    fields = io.BytesIO(body)
    fields.seek(28)
    if len(body) < 32:
        raise _Cut
    compression = _text(fields)
    fields.seek(8, io.SEEK_CUR)
    data = fields.read()
    return _decompress(data, compression) if compression else data


def _decompress(data: bytes, compression: str) -> bytes:
    modules = {"lz4": "lz4.frame", "zstd": _ZSTD}
    if compression not in modules:
        raise _Cut
    try:
        return bytes(importlib.import_module(modules[compression]).decompress(data))
    except Exception:  # each library has an error of its own for data that is cut
        raise _Cut from None


def _text(file: BinaryIO) -> str:
    size = file.read(4)
    if len(size) < 4:
        raise _Cut
    return file.read(struct.unpack("<I", size)[0]).decode("utf-8", "replace")
