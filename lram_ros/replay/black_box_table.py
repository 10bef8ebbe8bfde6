"""A black box for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from rich import box
from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from lram_ros.black_box import Recording
from lram_ros.replay.black_box import BoxReplay

_SHOWN = 6  # actions in a row; more would not fit a terminal


def black_box_tables(recording: Recording, last: int) -> Iterator[RenderableType]:
    """Yield the fault, what is known about the run, and the ``last`` ticks before the fault."""
    yield Text(f"stopped: {recording.reason}", style="bold red")
    about = ", ".join(f"{key} {value}" for key, value in recording.about.items())
    yield Text(f"{recording.time}; {len(recording)} ticks kept" + (f"; {about}" if about else ""))
    if not len(recording):
        return
    ticks, layout = recording.ticks, recording.layout
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("s", "episode", "tick", "oldest input s", "total ms", "state norm"):
        table.add_column(name, justify="right")
    for name in layout.actions[:_SHOWN]:
        table.add_column(escape(name), justify="right")
    if len(layout.actions) > _SHOWN:
        table.add_column(f"… {len(layout.actions) - _SHOWN} more")
    table.add_column("reason", overflow="fold", no_wrap=True)
    end = ticks["time"][-1]
    for row in range(max(0, len(recording) - last), len(recording)):
        ages = ticks["ages"][row]
        known = ages[np.isfinite(ages)]
        total = ticks["stages"][row][layout.stages.index("total")] * 1e3
        asked = np.isfinite(ticks["return_to_go"][row])
        table.add_row(
            f"{ticks['time'][row] - end:.3f}",
            str(ticks["episode"][row]) if asked else "–",
            str(ticks["tick"][row]) if asked else "–",
            _number(known.max() if known.size else np.nan, 3),
            _number(total, 2),
            _number(ticks["state_norm"][row], 2),
            *(
                f"{value:.5g}" if np.isfinite(value) else "–"
                for value in ticks["commanded"][row][:_SHOWN]
            ),
            *([""] if len(layout.actions) > _SHOWN else []),
            escape(str(ticks["reason"][row]).partition(":")[0]),
        )
    yield table
    yield Text("actions as commanded; – where nothing was sent or is not known", style="dim")


def replay_lines(outcome: BoxReplay, actions: Sequence[str]) -> Iterator[Text]:
    """Yield how far a policy's answers are those of the recording."""
    summary = outcome.summary()
    if not summary["asked"]:
        yield Text("the policy was not asked in any of the ticks kept: nothing to replay")
        return
    same = summary["equal"] == summary["asked"]
    yield Text(
        f"replayed {summary['asked']} ticks: the actions of {summary['equal']} are the recorded "
        f"ones, number for number; largest difference {summary['largest_difference']:.3g}",
        style="green" if same else "yellow",
    )
    unknown = summary["asked"] - summary["with_known_state"]
    if unknown:
        yield Text(
            f"{unknown} of them are of an episode whose start was not kept: they are replayed "
            "from an empty state, and may differ for that reason alone"
        )
    wrong = np.flatnonzero(~outcome.equal)
    if wrong.size:
        row = wrong[0]
        column = int(np.nanargmax(np.abs(outcome.recorded[row] - outcome.replayed[row])))
        yield Text(
            f"first difference: kept tick {outcome.rows[row]}, {actions[column]}: recorded "
            f"{outcome.recorded[row, column]:.6g}, replayed {outcome.replayed[row, column]:.6g}"
        )


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if np.isfinite(value) else "–"
