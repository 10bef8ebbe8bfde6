"""Where a training reads and writes: what would go wrong later is refused at the start."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lram_core.bundle import CONTRACT
from lram_core.data.files import check_place, check_replaceable
from lram_core.data.writer import DESCRIPTION
from lram_core.errors import CommandError, listed

LOCK = ".lock"


def check_places(data: list[Path], out: Path, run: Path) -> None:
    """Refuse folders that are something else, that hold one another or cannot be written.

    Raises:
        CommandError: it names the folder.
    """
    resolved = [path.resolve() for path in data]
    if twice := {path for path in data if resolved.count(path.resolve()) > 1}:
        raise CommandError(f"data given more than once: {listed(sorted(twice))}")
    check_replaceable(out, CONTRACT, "policy bundle")
    if run.exists() and not run.is_dir():
        raise CommandError(f"{run} is a file; name a folder for the run")
    for marker, what in ((DESCRIPTION, "dataset"), (CONTRACT, "policy bundle")):
        if (run / marker).is_file():
            raise CommandError(f"{run} is a {what}; name another folder for the run")
    if out.resolve() in (run.resolve(), *run.resolve().parents):
        raise CommandError(
            f"the run folder {run} lies in the bundle {out}, which is written as a whole; name "
            "another --run or --out"
        )
    for path in (out, run):
        check_place(path)


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Keep a run folder for this training; it is made where it is not there yet.

    Raises:
        CommandError: another training has it.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / LOCK).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(
                f"{run}: another training is writing it; wait for it, or name another --run folder"
            ) from None
        except OSError:
            pass  # some file systems have no locks
        yield
