"""Stages of a study: data sets, models, evaluations, each done once.

What is there already is not done again, so that a study which was cut off goes on. Training needs
no simulator, so it can be done on another machine, with the data brought there and the bundles
brought back.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lram_core.bundle import CONFIG
from lram_core.training.config import TrainConfig
from lram_core.training.train import train

UNSEEN_SEED = 1_100_000_000
Scores = dict[str, list[float]]
"""Task → a number an episode: 1 or 0 for success, or the return as a share of full marks."""


def add_options(
    parser: argparse.ArgumentParser, work: str, episodes: int, steps: int, streams: int
) -> None:
    """Declare what every study of one size has; its defaults where studies differ."""
    parser.add_argument("--episodes", type=int, default=episodes, help="demonstrations a task")
    parser.add_argument("--size", default="d128")
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--streams", type=int, default=streams, help="an embodiment")
    parser.add_argument("--evaluations", type=int, default=20, help="episodes a task")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="cpu", help="where to train: cpu, cuda or auto")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--minutes", type=float, default=0.0, help="stop training then")
    parser.add_argument("--train-only", action="store_true", help="evaluate nothing")
    parser.add_argument("--work", type=Path, default=Path("runs") / work)
    parser.add_argument("--json", type=Path, help="write all figures to this file")


def collect(
    suite: str, tasks: Sequence[str], episodes: int, noise: float, workers: int, out: Path
) -> Path:
    """Collect demonstrations with ``lram collect``; returns ``out``."""
    if not out.exists():
        command = [sys.executable, "-m", "lram_core.cli", "collect", suite]
        command += ["--tasks", ",".join(tasks), "--episodes", str(episodes)]
        command += ["--noise", str(noise), "--workers", str(workers), "--out", str(out)]
        subprocess.run(command, check=True)
    return out


def learn(data: Sequence[Path], folder: Path, config: TrainConfig) -> dict[str, float]:
    """Train a bundle in ``folder/bundle``; returns its metrics on held-out episodes."""
    file = folder / "metrics.json"
    if not file.exists():
        metrics = train(list(data), folder / "bundle", folder / "run", config)
        file.write_text(json.dumps(metrics, indent=1) + "\n")
    found: dict[str, float] = json.loads(file.read_text())
    return found


def training_of(folder: Path) -> dict[str, Any]:
    """Return what the bundle in ``folder/bundle`` tells of its training."""
    told: dict[str, Any] = json.loads((folder / "bundle" / CONFIG).read_text())["training"]
    return told


def score(
    folder: Path, suite_name: str, tasks: Sequence[str], episodes: int, workers: int
) -> Scores:
    """Roll the bundle of ``folder`` out at starts that no demonstration has."""
    from lram_sim.evaluate import evaluate
    from lram_sim.suite import reference_returns
    from lram_sim.suite_registry import get_suite
    from lram_sim.workers import PolicySource

    file = folder / f"score-{suite_name}.json"
    known: Scores = json.loads(file.read_text()) if file.exists() else {}
    missing = [task for task in tasks if len(known.get(task, ())) != episodes]
    if missing:
        suite = get_suite(suite_name)
        source = PolicySource(str(folder / "bundle"), suite=suite_name)
        outcomes = evaluate(suite, missing, episodes, [UNSEEN_SEED], workers, source)
        full = reference_returns(suite)
        for task in missing:
            known[task] = [
                o.total_reward / full[task] if task in full else float(o.success)
                for o in outcomes
                if o.task == task
            ]
        file.write_text(json.dumps(known, indent=1) + "\n")
    return {task: known[task] for task in tasks}
