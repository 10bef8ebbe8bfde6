"""Where a benchmark's report goes: a JSON file, a figure, the tables of the manual."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Report = dict[str, Any]


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Declare ``--json``, ``--plot`` and ``--markdown``, which :func:`write` follows."""
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--plot", type=Path, help="draw them into this SVG or PNG")
    parser.add_argument("--markdown", action="store_true", help="print the tables of the manual")


def write(
    report: Report,
    args: argparse.Namespace,
    markdown: Callable[[Report], Mapping[str, str]],
    plot: Callable[[Report, Path], None],
) -> None:
    """Write what the options of :func:`add_output_options` ask for."""
    if args.json:
        write_json(report, args.json)
    if args.plot:
        plot(report, args.plot)
    if args.markdown:
        for name, text in markdown(report).items():
            print(f"\n{name}\n\n{text}")


def write_json(report: Report, path: Path) -> None:
    """Write a report that :mod:`benchmarks.document` reads."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n")
