"""Files and folders that are whole or absent: written under a temporary name, then renamed."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lram_core.errors import CommandError


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes the name ``path`` if the block succeeds."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``path``; it takes the name ``path`` if the block succeeds.

    A folder that is already there is replaced only then.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        yield temporary
        if path.exists():
            path.rename(old)
        try:
            temporary.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_replaceable(path: Path, marker: str, what: str) -> None:
    """Refuse to replace anything but an earlier result of the same kind.

    Args:
        path: folder about to be written; absent, empty, or holding the file ``marker``.
        marker: file that tells a folder of this kind.
        what: what such a folder is, for the message.

    Raises:
        CommandError: ``path`` is a file, or a folder of something else.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise CommandError(f"{path} is a file; name a folder for the {what}")
    if path.is_dir() and any(path.iterdir()) and not (path / marker).is_file():
        raise CommandError(
            f"{path} is there already and is no {what} ({marker} is not in it); name another folder"
        )


def check_place(path: Path) -> None:
    """Try, before the work, whether a file or folder can be made at ``path``; makes its parents.

    Raises:
        CommandError: it cannot; the message says why.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}."):
            pass
    except OSError as error:
        why = f"{path.parent}: {error.strerror}"
        raise CommandError(f"{path} cannot be written ({why})") from None


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
