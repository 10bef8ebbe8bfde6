"""The folder of a run: settings, surroundings, metrics, curves."""

from __future__ import annotations

import csv
import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path
from typing import IO, Any

import numpy
import torch
import yaml

from lram_core.data.files import atomic_path
from lram_core.data.schema import DatasetSchema
from lram_core.data.store import Dataset
from lram_core.errors import CommandError, DataError, one_line
from lram_core.machine import machine_name, processor_name
from lram_core.training.config import TrainConfig
from lram_core.training.run_data import CONTENT, check_content, check_fields
from lram_core.version import version
from lram_core.yaml_text import yaml_text

SETTINGS, METRICS, ENVIRONMENT, CURVES = (
    "config.yaml",
    "metrics.csv",
    "environment.json",
    "curves.png",
)
OLD_SETTINGS = "config.json"
"""What releases before ``config.yaml`` wrote; such a run can be continued."""


def plain_settings(config: TrainConfig, data: list[Path]) -> dict[str, Any]:
    """Return settings and data as plain values."""
    plain = {"data": [str(path) for path in data], **asdict(config)}
    return dict(json.loads(json.dumps(plain)))


def open_run(
    run: Path,
    config: TrainConfig,
    datasets: list[Dataset],
    schemas: Mapping[str, DatasetSchema],
) -> None:
    """Make the run folder, or reopen it.

    Datasets may have moved since the run was begun, if they are the same.

    Args:
        run: the folder. config: the settings. datasets: what is trained on.
        schemas: embodiment → schema of its data.

    Raises:
        CommandError: it holds a run with other settings, of data with other fields, or of others.
        DataError: what it tells of itself is unreadable.
    """
    run.mkdir(parents=True, exist_ok=True)
    settings = plain_settings(config, [data.path for data in datasets])
    known = [file for name in (SETTINGS, OLD_SETTINGS) if (file := run / name).exists()]
    if known:
        found = plain_settings(TrainConfig(), []) | _read(known[0])
        if (run / CONTENT).exists():  # tells more than the paths
            found["data"] = settings["data"]
        changed = [
            f"{k} {found.get(k)!r} (now {v!r})" for k, v in settings.items() if found.get(k) != v
        ]
        if changed:
            raise CommandError(
                f"{run} holds a run with other settings: {', '.join(changed)}; "
                "choose another --run folder, or remove this one"
            )
    check_fields(run, datasets, schemas)
    check_content(run, datasets)
    if not (run / SETTINGS).exists():
        with atomic_path(run / SETTINGS) as temporary:
            temporary.write_text(yaml_text(settings))


def note_environment(
    run: Path, device: torch.device, processes: int, step: int, peak: dict[str, Any]
) -> None:
    """Add to ``environment.json`` where and with what the run goes on from ``step``.

    ``peak`` is what the utilisation is a part of.
    """
    file = run / ENVIRONMENT
    try:
        starts = list(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError):
        starts = []
    starts.append(
        {
            "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "step": step,
            "command": sys.argv,
            "lram": version(),
            "git": git_revision(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
            "numpy": numpy.__version__,
            "platform": platform.platform(),
            "cpu": processor_name(),
            "device": machine_name(device),
            "threads": torch.get_num_threads(),
            "processes": processes,
            "peak": peak,
        }
    )
    with atomic_path(file) as temporary:
        temporary.write_text(json.dumps(starts, indent=1) + "\n")


def git_revision(package: Path = Path(__file__)) -> dict[str, Any] | None:
    """Return the revision of the project's checkout and whether it has changes; else None."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(package.parent), *words],
            capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        return done.stdout.strip()

    try:
        # An installed package may lie inside a checkout of something else.
        git("ls-files", "--error-unmatch", package.name)
        return {"revision": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


class MetricsFile:
    """``metrics.csv``; rows after ``step`` are dropped, since they will be written again.

    Columns that the file of an earlier release has besides are kept, behind the others.
    """

    def __init__(self, run: Path, columns: tuple[str, ...], step: int) -> None:
        file = run / METRICS
        rows: list[dict[str, str]] = []
        if file.exists():
            with file.open(newline="") as source:
                rows = [row for row in csv.DictReader(source) if row.get("step", "").isdigit()]
        if rows:
            columns = (*columns, *(name for name in rows[0] if name and name not in columns))
        with atomic_path(file) as temporary, temporary.open("w", newline="") as target:
            writer = csv.DictWriter(target, columns, restval="", extrasaction="ignore")
            writer.writeheader()
            writer.writerows(row for row in rows if int(row["step"]) <= step)
        self._columns = columns
        self._file: IO[str] = file.open("a", newline="")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        row = [step, *(f"{values[n]:.6g}" if n in values else "" for n in self._columns[1:])]
        csv.writer(self._file).writerow(row)
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def read_metrics(run: Path) -> list[dict[str, float]]:
    """Return the rows of a run's metrics; NaN where nothing was measured.

    Raises:
        DataError: it is no training run's folder.
    """
    try:
        with (run / METRICS).open(newline="") as file:
            return [
                {name: float(value or "nan") for name, value in row.items()}
                for row in csv.DictReader(file)
            ]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{run}: not a training run's folder ({error})") from None


def draw_curves(run: Path) -> str:
    """Draw the metrics over optimiser steps to ``curves.png``.

    Returns:
        Why there is no picture, in one line; empty where there is one.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        return f"no {CURVES}: the Python module '{error.name}' is not installed"
    rows = read_metrics(run)
    steps = [row["step"] for row in rows]
    panels = {
        "cross-entropy [nat]": ["train_loss", "loss"],
        "right bin": ["accuracy"],
        "success": ["success"],
        "learning rate": ["lr"],
        "ticks/s": ["ticks_per_s"],
    }
    panels = {title: [n for n in names if rows and n in rows[0]] for title, names in panels.items()}
    panels = {title: names for title, names in panels.items() if names}
    if not panels:
        return f"no {CURVES}: nothing was measured yet"
    figure = Figure(figsize=(4 * len(panels), 3), dpi=80)
    figure.subplots_adjust(left=0.05, right=0.98, bottom=0.18, wspace=0.3)
    for axes, (title, names) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True
    ):
        for name in names:
            known = [
                (x, row[name]) for x, row in zip(steps, rows, strict=True) if row[name] == row[name]
            ]
            axes.plot([x for x, _ in known], [y for _, y in known], label=name, marker=".")
        axes.set_xlabel("optimiser step")
        axes.set_title(title, fontsize="medium")
        if len(names) > 1:
            axes.legend(frameon=False)
    with atomic_path(run / CURVES) as temporary:
        figure.savefig(temporary, format="png")
    return ""


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text()
        return dict(yaml.safe_load(text) if file.name == SETTINGS else json.loads(text))
    except (ValueError, TypeError, yaml.YAMLError) as error:
        line = one_line(error)
        raise DataError(f"{file}: unreadable settings ({line}); remove the run folder") from None
