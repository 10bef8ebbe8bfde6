"""What is in a dataset: figures for a person and for a script."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lram_core.contract import ActionField, ObservationField
from lram_core.data.store import Dataset

SAMPLE = 100_000  # ticks looked at for ranges: a large set is not read to describe it
VALUES = 1 << 26  # and no more values than this, of observations with pictures
_STRETCHES = 100


def describe(data: Dataset, sample: int = SAMPLE) -> dict[str, Any]:
    """Return what there is to say about a dataset, as plain data.

    Args:
        data: the dataset.
        sample: ticks, of all parts of the data, that the ranges of the fields are taken from.
    """
    schema, steps = data.schema, data.steps
    lengths, returns = data.column("length"), data.column("return")
    success, tasks = data.column("success"), data.column("task")
    rows = sample_rows(steps, min(sample, max(1, VALUES // schema.observation_size)))
    observations, actions = data.observations[rows], data.actions[rows]
    return {
        "path": str(data.path),
        "bytes": sum((data.path / n).stat().st_size for n in data.checksums if n.endswith(".npy")),
        "episodes": len(data),
        "steps": steps,
        "hours": steps / schema.control_rate / 3600,
        "suite": schema.suite,
        "robot": schema.robot,
        "gripper": schema.gripper,
        "control_rate": schema.control_rate,
        "reward": schema.reward.definition,
        "reward_scale": schema.reward.scale,
        "success_rate": float(success.mean()),
        "length": _spread(lengths),
        "return": _spread(returns),
        "sampled_steps": len(rows),
        "observation": [
            {**_field(field), **_range(observations[:, columns])}
            for field, columns in zip(schema.observation, _columns(data), strict=True)
        ],
        "action": [
            {**_field(field), **_range(actions[:, [i]]), **_limits(field, actions[:, i])}
            for i, field in enumerate(schema.action)
        ],
        "tasks": [
            {
                "task": task,
                "episodes": int((tasks == task).sum()),
                "steps": int(lengths[tasks == task].sum()),
                "success_rate": float(success[tasks == task].mean()),
                "length": _spread(lengths[tasks == task]),
                "return": _spread(returns[tasks == task]),
            }
            for task in data.task_names
        ],
        "origin": origin(data.provenance),
    }


def sample_rows(steps: int, sample: int) -> npt.NDArray[np.int64]:
    """Return about ``sample`` of ``steps`` row numbers: stretches of rows, evenly spaced.

    Rows beside each other are read together; as many single ones would each cost a read.
    """
    if steps <= sample:
        return np.arange(steps)
    size = max(1, sample // _STRETCHES)
    starts = np.linspace(0, steps - size, _STRETCHES).astype(np.int64)
    return np.unique(starts[:, None] + np.arange(size))


def origin(provenance: dict[str, Any]) -> str:
    """Return in a few words where data come from."""
    if "import" in provenance:
        what = provenance["import"]
        return f"imported from {what.get('format', '?')}: {what.get('path', '?')}"
    if "merged" in provenance:
        return "merged from " + ", ".join(str(part["path"]) for part in provenance["merged"])
    if "split" in provenance:
        what = provenance["split"]
        return f"{what['part']} part of {what['path']}"
    if "selection" in provenance:
        return f"collected: {provenance['selection']} ({provenance.get('source', '')})"
    return str(provenance.get("command", "unknown"))


def print_description(about: dict[str, Any], console: Console) -> None:
    """Print :func:`describe` as tables that need neither colour nor a wide terminal."""
    print_line = console.print
    seconds = about["hours"] * 3600
    lasting = f"{about['hours']:.1f} h" if seconds >= 3600 else f"{seconds:.0f} s"
    print_line(Text(about["path"], style="bold"))
    print_line(
        Text(
            f"{about['episodes']} episodes, {about['steps']} ticks at {about['control_rate']:g} Hz "
            f"({lasting}), {_bytes(about['bytes'])}; success {about['success_rate']:.3f}"
        )
    )
    print_line(Text(f"{about['suite']}: {about['robot']} with {about['gripper']}"))
    print_line(Text(f"reward: {about['reward']} (scale {about['reward_scale']:g})"))
    print_line(Text(about["origin"]))
    print_line(_task_table(about["tasks"]))
    of = f"of {about['sampled_steps']} ticks"
    print_line(_field_table(f"Observation, ranges {of}", about["observation"]))
    print_line(_field_table(f"Action, ranges {of}", about["action"]))


def _task_table(tasks: list[dict[str, Any]]) -> Table:
    table = _table("Tasks", "task", "episodes", "ticks", "success", "ticks an episode", "return")
    for task in tasks:
        table.add_row(
            Text(task["task"]),
            str(task["episodes"]),
            str(task["steps"]),
            f"{task['success_rate']:.3f}",
            *(
                f"{s['min']:.5g} … {s['median']:.5g} … {s['max']:.5g}"
                for s in (task["length"], task["return"])
            ),
        )
    return table


def _field_table(title: str, rows: list[dict[str, Any]]) -> Table:
    action = "low" in rows[0]
    more = ("limits", "at a limit") if action else ("values",)
    table = _table(title, "field", "unit", *more, "min", "mean", "max", "std")
    for row in rows:
        name = row["name"] + (f" (delay {row['delay']})" if row.get("delay") else "")
        if action:
            name += f" ({row['kind']})"
            middle = [f"{row['low']:g} … {row['high']:g}", f"{row['at_limit']:.1%}"]
        else:
            middle = [str(row["size"])]
        figures = [f"{row[key]:.4g}" for key in ("min", "mean", "max", "std")]
        table.add_row(Text(name), Text(row["unit"]), *middle, *figures)
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="left" if column == "unit" else "right")
    return table


def _columns(data: Dataset) -> list[slice]:
    """Where each observation field lies in the vector."""
    ends = np.cumsum([field.size for field in data.schema.observation])
    return [
        slice(int(end) - f.size, int(end))
        for f, end in zip(data.schema.observation, ends, strict=True)
    ]


def _field(field: ObservationField | ActionField) -> dict[str, Any]:
    if isinstance(field, ObservationField):
        return {"name": field.name, "unit": field.unit, "size": field.size, "delay": field.delay}
    return {
        "name": field.name,
        "unit": field.unit,
        "kind": field.kind,
        "low": field.low,
        "high": field.high,
    }


def _range(values: npt.NDArray[np.float32]) -> dict[str, float]:
    wide = np.asarray(values, dtype=np.float64)
    return {
        "min": float(wide.min()),
        "mean": float(wide.mean()),
        "max": float(wide.max()),
        "std": float(wide.std(axis=0).mean()),
    }


def _limits(field: ActionField, values: npt.NDArray[np.float32]) -> dict[str, float]:
    return {"at_limit": float(((values <= field.low) | (values >= field.high)).mean())}


def _spread(values: npt.NDArray[Any]) -> dict[str, float]:
    return {
        "min": float(values.min()),
        "median": float(np.median(values)),
        "max": float(values.max()),
    }


def _bytes(size: float) -> str:
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
