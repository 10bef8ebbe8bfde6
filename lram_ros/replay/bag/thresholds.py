"""Thresholds of a replay, for programs that only look at the exit code."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lram_core.errors import CommandError, listed


@dataclass(frozen=True)
class Thresholds:
    """What a policy has to reach.

    Attributes:
        max_error: (joint, most): mean absolute error in the joint's unit; with an empty name in
            per cent of the range, for every joint.
        min_accuracy: of the tokens, 0 to 1.
        max_perplexity: of the recorded tokens.
        parity: every action must be the recorded one, number for number; and with a live run,
            every one of that.
    """

    max_error: tuple[tuple[str, float], ...] = ()
    min_accuracy: float | None = None
    max_perplexity: float | None = None
    parity: bool = False

    def check_names(self, names: Sequence[str]) -> None:
        """Raises CommandError: a threshold is for a joint that there is not."""
        unknown = [name for name, _ in self.max_error if name and name not in names]
        if unknown:
            raise CommandError(
                f"--max-error: no joint {listed(unknown)}; the contract commands {listed(names)}"
            )

    def missed(self, summary: dict[str, Any]) -> list[str]:
        """Return a line for each threshold that a policy of a summary does not reach."""
        return [line for policy in summary["policies"] for line in self._missed(policy)]

    def _missed(self, policy: dict[str, Any]) -> Iterator[str]:
        name = policy["name"]
        for joint, most in self.max_error:
            for row in policy["joints"]:
                if joint and row["name"] != joint:
                    continue
                value = row["mean"] if joint else row["mean_percent_of_range"]
                unit = row["unit"] if joint else "% of the range"
                if value is None or value > most:
                    yield (
                        f"{name}: mean error of {row['name']} is {_text(value)} {unit}, "
                        f"allowed are {most:g}"
                    )
        tokens = policy["tokens"]
        if self.min_accuracy is not None and not _least(tokens["accuracy"], self.min_accuracy):
            yield (
                f"{name}: token accuracy is {_text(tokens['accuracy'])}, "
                f"asked for are {self.min_accuracy:g}"
            )
        if self.max_perplexity is not None:
            found = tokens["perplexity"]
            if found is None or found > self.max_perplexity:
                yield f"{name}: perplexity is {_text(found)}, allowed are {self.max_perplexity:g}"
        if self.parity:
            yield from self._parity(name, "the recorded run", policy["parity"])
            if policy["live"] is not None:
                yield from self._parity(name, "the live run", policy["live"]["offline"])

    def _parity(self, name: str, what: str, found: dict[str, Any] | None) -> Iterator[str]:
        if found is None:
            yield f"{name}: no parity with {what}: it has no trace of such actions"
        elif found["actions_equal"] < found["ticks"]:
            yield (
                f"{name}: no parity with {what}: {found['actions_equal']} of {found['ticks']} "
                f"ticks have the same actions; the first that has not: {found['first_difference']}"
            )


def parse_max_error(text: str) -> tuple[str, float]:
    """Read ``VALUE`` or ``JOINT=VALUE``. Raises CommandError on anything else."""
    name, _, number = text.rpartition("=")
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not value >= 0:
        raise CommandError(
            f"--max-error '{text}': expected a number (per cent of the range) or JOINT=NUMBER "
            f"(in the joint's unit)"
        )
    return name, value


def _least(value: float | None, least: float) -> bool:
    return value is not None and value >= least


def _text(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4g}"
