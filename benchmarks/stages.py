"""Stages of a study: data sets, models, evaluations, each done once.

What is there already is not done again, so that a study which was cut off goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from lram_core.training.config import TrainConfig
from lram_core.training.train import train
from lram_sim.evaluate import evaluate
from lram_sim.suite import get_suite, reference_returns
from lram_sim.workers import PolicySource

UNSEEN_SEED = 1_100_000_000
Scores = dict[str, list[float]]
"""Task → a number an episode: 1 or 0 for success, or the return as a share of full marks."""


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


def score(
    folder: Path, suite_name: str, tasks: Sequence[str], episodes: int, workers: int
) -> Scores:
    """Roll the bundle of ``folder`` out at starts that no demonstration has."""
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
