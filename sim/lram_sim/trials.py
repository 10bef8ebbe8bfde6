"""``lram eval --trials``: does a policy get better from trial to trial of one task?

The recurrent state is kept from the first trial to the last: what the policy finds out in one is
all it has for the next. Nothing is trained. All tasks run side by side, in one pass over the
weights a tick.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from lram_core.action_model import ActionModel
from lram_core.bundle import load_bundle
from lram_core.contract import PolicyContract
from lram_core.data.files import atomic_folder, check_place, check_replaceable
from lram_core.embodiments import of_suite
from lram_core.errors import CommandError
from lram_core.runtimes.static_tick import Program, StaticTick
from lram_core.statistics import bootstrap_interval
from lram_sim.darkroom import TRIAL_STEPS, DarkRooms, one_hot
from lram_sim.darkroom_suite import DarkRoomSuite
from lram_sim.rollout import check_contract

RESULTS = "trials.json"
SHOWN = (1, 2, 3, 5, 10, 20, 30, 40)
"""Trials that a table shows."""


@dataclass(frozen=True)
class Plan:
    """What to run.

    Attributes:
        tasks: their goals. lives: of each task; each begins with a fresh state.
        trials: of each life.
        target_return: return to ask for in each trial; None: the contract's for the task.
        seed: of the choice of moves by their probabilities.
        greedy: always the likeliest move instead.
    """

    tasks: list[str]
    lives: int
    trials: int
    target_return: float | None
    seed: int
    greedy: bool


@dataclass(frozen=True)
class Curve:
    """Mean return by trial, each (trials,).

    Attributes:
        mean: over tasks and lives. low, high: of its 95 % bootstrap interval.
    """

    mean: list[float]
    low: list[float]
    high: list[float]

    @classmethod
    def of(cls, returns: npt.NDArray[np.float64]) -> Curve:
        """Summarise returns (lives, trials): lives are what is resampled."""
        bounds = [bootstrap_interval([column], 2000) for column in returns.T]
        return cls(
            [float(x) for x in returns.mean(axis=0)],
            [low for low, _ in bounds],
            [high for _, high in bounds],
        )


def run_trials(
    bundle: Path,
    suite: DarkRoomSuite,
    plan: Plan,
    on_progress: Callable[[int, int], None] = lambda episodes, steps: None,
) -> dict[str, npt.NDArray[np.float64]]:
    """Let a policy live in all tasks side by side.

    Args:
        bundle: the policy's.
        suite: of the tasks.
        plan: what to run.
        on_progress: called after each trial with the number of lives and the moves made.

    Returns:
        Task → returns (lives, trials).

    Raises:
        BundleError, ContractError: the bundle is unusable, or not of this suite.
    """
    model, contract = load_bundle(bundle, embodiment=of_suite(suite.name))
    check_contract(contract, suite)
    names = [task for task in plan.tasks for _ in range(plan.lives)]
    asked = [
        contract.target_return(task) if plan.target_return is None else plan.target_return
        for task in names
    ]
    returns = _live(model, contract, [suite.goal(task) for task in names], asked, plan, on_progress)
    blocks = np.split(returns, len(plan.tasks))
    return dict(zip(plan.tasks, blocks, strict=True))


def _live(
    model: ActionModel,
    contract: PolicyContract,
    goals: list[int],
    target_returns: list[float],
    plan: Plan,
    on_progress: Callable[[int, int], None],
) -> npt.NDArray[np.float64]:
    """Return the returns (N, trials) of N lives."""
    rooms = DarkRooms(goals)
    count, scale, trials = len(goals), contract.reward.scale, plan.trials
    targets = np.array(target_returns)
    rng = np.random.default_rng(plan.seed)
    tick = StaticTick(model, count, torch.device("cpu"), "fp32", flags=False, capture=False)
    tick.host[:, -1] = 1.0
    returns = np.zeros((count, trials))
    program = Program.LATE  # before the first move there is no reward
    for trial in range(trials):
        cells = rooms.reset()
        for _ in range(TRIAL_STEPS):
            tick.host[:, :-4] = one_hot(cells)
            tick.host[:, -4] = (targets - returns[:, trial]) / scale
            tick.run(program)
            logits = tick.logits[:, 0].astype(np.float64)
            if not plan.greedy:
                logits += rng.gumbel(size=logits.shape)
            cells, rewards = rooms.step(logits.argmax(axis=1))
            returns[:, trial] += rewards
            tick.host[:, -3] = rewards / scale
            program = Program.TICK
        on_progress(count, count * TRIAL_STEPS)
    return returns


def check_writable(out: Path) -> None:
    """Raises CommandError if ``out`` holds anything but earlier results, or cannot be written."""
    check_replaceable(out, RESULTS, "result of 'lram eval --trials'")
    check_place(out)


def by_split(suite: DarkRoomSuite, tasks: list[str]) -> dict[str, list[str]]:
    """Return the tasks that were trained on and those held out, by the name of the split."""
    found = {
        split: [task for task in tasks if task in suite.splits[split]]
        for split in ("train", "test")
    }
    return {split: members for split, members in found.items() if members}


def write_results(
    out: Path,
    suite: DarkRoomSuite,
    lives: dict[str, npt.NDArray[np.float64]],
    parameters: dict[str, Any],
) -> dict[str, Curve]:
    """Write ``trials.json``, ``trials.csv`` (a row a trial) and ``curve.svg``.

    The folder appears whole or not at all; earlier results in it are replaced.

    Args:
        out: the folder.
        suite: of the tasks.
        lives: task → returns (lives, trials).
        parameters: kept as they are.

    Returns:
        Split → curve.
    """
    check_writable(out)
    groups = by_split(suite, list(lives))
    curves = {
        name: Curve.of(np.concatenate([lives[task] for task in tasks]))
        for name, tasks in groups.items()
    }
    best = suite.reference_returns
    limits = {
        name: float(np.mean([best[task] for task in tasks])) for name, tasks in groups.items()
    }
    content = {
        "parameters": parameters,
        "splits": {
            name: {"tasks": groups[name], "best": limits[name], **vars(curve)}
            for name, curve in curves.items()
        },
        "returns": {task: returns.tolist() for task, returns in lives.items()},
    }
    with atomic_folder(out) as folder:
        (folder / RESULTS).write_text(json.dumps(content) + "\n")
        with (folder / "trials.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            kinds = ("mean", "low", "high")
            writer.writerow(["trial", *(f"{name} {kind}" for name in curves for kind in kinds)])
            for number in range(len(next(iter(curves.values())).mean)):
                values = [getattr(c, kind)[number] for c in curves.values() for kind in kinds]
                writer.writerow([number + 1, *(f"{value:.3f}" for value in values)])
        draw(curves, limits, folder / "curve.svg")
    return curves


def read_results(folder: Path) -> dict[str, Any]:
    """Read ``trials.json``. Raises CommandError: there is none, or it is unreadable."""
    try:
        return dict(json.loads((folder / RESULTS).read_text()))
    except (OSError, ValueError) as error:
        raise CommandError(f"{folder}: no results of 'lram eval --trials' ({error})") from None


def draw(curves: dict[str, Curve], limits: dict[str, float], path: Path) -> None:
    """Draw return against trial, a line a curve with its interval, the largest return dashed."""
    from lram_core.report.figures import BLUE, GREEN, GREY, ORANGE, RED, new_figure, styled

    with styled():
        figure, axes = new_figure(3.0)
        for (name, curve), colour in zip(curves.items(), (BLUE, ORANGE, GREEN, RED), strict=False):
            numbers = range(1, len(curve.mean) + 1)
            axes.fill_between(numbers, curve.low, curve.high, color=colour, alpha=0.2, linewidth=0)
            axes.plot(numbers, curve.mean, color=colour, label=name)
        for limit in set(limits.values()):
            axes.axhline(limit, color=GREY, linestyle="--", linewidth=0.8)
        axes.set_xlabel("trial")
        axes.set_ylabel("return")
        axes.set_ylim(0, 100)
        axes.legend(frameon=False, fontsize=8, loc="lower right")
        figure.savefig(path, format="svg", metadata={"Date": None})


def table_rows(curves: dict[str, Curve]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of a table: a row a curve, the return of some of the trials."""
    trials = len(next(iter(curves.values())).mean)
    shown = [number for number in SHOWN if number <= trials]
    if trials not in shown:
        shown.append(trials)
    rows = []
    for name, curve in curves.items():
        cells = [f"{curve.mean[n - 1]:.1f}" for n in shown]
        cells[-1] += f" ({curve.low[-1]:.1f} – {curve.high[-1]:.1f})"
        rows.append([name, *cells])
    return ["goals", *(f"trial {n}" for n in shown)], rows
