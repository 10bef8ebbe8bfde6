"""A collection on disk: the parts that are complete, and what it was begun with.

The parts lie beside the dataset, in ``<out>.parts``. A part is whole or absent.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lram_core.data.files import atomic_path
from lram_core.data.parts import save_part
from lram_core.data.store import Dataset
from lram_core.errors import DataError, listed
from lram_sim.demonstrate import Tally

_RECORD = "parameters.json"


def open_parts(out: Path, parameters: dict[str, Any]) -> Path:
    """Make or reopen the folder of parts.

    Args:
        out: folder of the dataset.
        parameters: all that determine the dataset, as plain data.

    Raises:
        DataError: it was made with other parameters, or is no folder of parts.
    """
    parts = out.with_name(out.name + ".parts")
    if parts.exists():
        try:
            recorded = json.loads((parts / _RECORD).read_text())
        except (OSError, ValueError):
            recorded = None
        if not isinstance(recorded, dict):
            raise DataError(f"{parts}: not the parts of a collection (no readable {_RECORD})")
        _check_same(recorded, parameters, parts, "remove it, or choose another --out")
        return parts
    parts.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{parts.name}.", dir=parts.parent) as temporary:
        made = Path(temporary) / parts.name
        made.mkdir()
        (made / _RECORD).write_text(json.dumps(parameters, indent=1) + "\n")
        made.rename(parts)  # never there without its record; another's is not replaced
    return parts


def finished_tallies(out: Path, parameters: dict[str, Any]) -> dict[str, Tally]:
    """Return task → tally of a dataset that is there already.

    Raises:
        DataError: it was made with other parameters, or in another way.
    """
    provenance = Dataset.open(out).provenance
    if "parameters" not in provenance:
        raise DataError(f"{out}: a dataset that was not made by 'lram collect' is there already")
    _check_same(provenance["parameters"], parameters, out, "choose another --out")
    return {task: Tally(**tally) for task, tally in provenance["tasks"].items()}


def _check_same(
    recorded: dict[str, Any], parameters: dict[str, Any], place: Path, advice: str
) -> None:
    different = [
        f"{key} {_short(recorded.get(key))} (now {_short(value)})"
        for key, value in parameters.items()
        if recorded.get(key) != value
    ]
    if different:
        raise DataError(f"{place} was begun with {listed(different)}; {advice}")


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def read_tally(part: Path) -> Tally:
    """Return what a part took. Raises DataError: that cannot be read."""
    file = part.with_suffix(".json")
    try:
        return Tally(**json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{file}: unreadable ({error}); remove {part} to collect it anew") from None


def keep_part(path: Path, tally: Tally, part: bytes) -> None:
    """Write a part of a collection and what it took, whole or not at all."""
    # The tally first: a part that exists is complete.
    with atomic_path(path.with_suffix(".json")) as temporary:
        temporary.write_text(json.dumps(asdict(tally)))
    save_part(path, part)
