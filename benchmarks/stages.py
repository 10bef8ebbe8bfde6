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
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from lram_core.bundle import CONFIG
from lram_core.statistics import bootstrap_interval
from lram_core.training.config import TrainConfig
from lram_core.training.train import train

if TYPE_CHECKING:  # training needs no simulator
    from lram_sim.suite import Suite
    from lram_sim.summaries import Outcome

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


def mean_score(scores: Scores) -> tuple[float, float, float]:
    """Mean over tasks, and its 95 % interval."""
    groups = [np.asarray(values) for values in scores.values()]
    low, high = bootstrap_interval(groups)
    return float(np.mean([group.mean() for group in groups])), low, high


def training_of(folder: Path) -> dict[str, Any]:
    """Return what the bundle in ``folder/bundle`` tells of its training."""
    told: dict[str, Any] = json.loads((folder / "bundle" / CONFIG).read_text())["training"]
    return told


def score(
    folder: Path, suite_name: str, tasks: Sequence[str], episodes: int, workers: int
) -> Scores:
    """Roll the bundle of ``folder`` out at starts that no demonstration has."""
    from lram_sim.evaluate import evaluate
    from lram_sim.policy_source import PolicySource
    from lram_sim.suite_registry import get_suite

    suite = get_suite(suite_name)
    source = PolicySource(str(folder / "bundle"), suite=suite_name)
    return _scored(
        folder / f"score-{suite_name}.json",
        suite,
        tasks,
        episodes,
        lambda missing: evaluate(suite, missing, episodes, [UNSEEN_SEED], workers, source),
    )


class _Chance:
    """A policy that draws its actions evenly from [-1, 1], the same ones in every run."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._rng = np.random.default_rng(seed)

    def reset(self, task: str | None = None, target_return: float | None = None) -> None: ...

    def act(self, observation: object, reward: float) -> Any:
        return SimpleNamespace(values=self._rng.uniform(-1.0, 1.0, self._size))


def by_chance(folder: Path, suite_name: str, tasks: Sequence[str], episodes: int) -> Scores:
    """What actions drawn at random come to, at the starts of :func:`score`."""
    from lram_sim.rollout import run_episode
    from lram_sim.suite_registry import get_suite
    from lram_sim.summaries import Outcome

    suite = get_suite(suite_name)
    size = len(suite.action_fields)

    def play(missing: list[str]) -> Iterator[Outcome]:
        for name in missing:
            task = suite.make(name)
            for seed in range(UNSEEN_SEED, UNSEEN_SEED + episodes):
                yield Outcome.of(run_episode(task, _Chance(size, seed), seed))

    return _scored(folder / f"chance-{suite_name}.json", suite, tasks, episodes, play)


def _scored(
    file: Path,
    suite: Suite,
    tasks: Sequence[str],
    episodes: int,
    play: Callable[[list[str]], Iterable[Outcome]],
) -> Scores:
    """Return the scores that ``file`` has, after adding those that it lacks."""
    from lram_sim.suite import reference_returns

    known: Scores = json.loads(file.read_text()) if file.exists() else {}
    missing = [task for task in tasks if len(known.get(task, ())) != episodes]
    if missing:
        full = reference_returns(suite)
        known |= {task: [] for task in missing}
        for o in play(missing):
            known[o.task].append(
                o.total_reward / full[o.task] if o.task in full else float(o.success)
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(known, indent=1) + "\n")
    return {task: known[task] for task in tasks}
