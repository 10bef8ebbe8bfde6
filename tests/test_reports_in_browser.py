"""The reports in a real browser, headless Chromium: all is there, drawn, and fits a phone."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from bag_rig import other_bundle
from report_rig import check_self_contained, run_chromium, screenshot

from lram_ros.report import EpisodeResult, RunInfo, write_report
from lram_ros.report.results import STAGES
from lram_sim.evaluate import Outcome, write_results

PHONE, DESKTOP = 390, 1280
# What a browser says about a page: how wide it is, where its figures are, what it has loaded.
PROBE = """<script>
addEventListener("load", () => {
  const figures = [...document.querySelectorAll("figure svg")];
  // What is folded away has a place, but is not shown.
  const boxes = figures.filter(svg => svg.checkVisibility()).map(svg => {
    const box = svg.getBoundingClientRect();
    return [box.x, box.y, box.width, box.height];
  });
  const small = [...document.querySelectorAll("figure svg text")]
    .map(text => text.getBoundingClientRect()).filter(box => box.width && box.height < 6).length;
  parent.postMessage(JSON.stringify({
    width: document.documentElement.scrollWidth, window: innerWidth,
    height: document.documentElement.scrollHeight,
    figures: figures.length, boxes, small,
    loaded: performance.getEntriesByType("resource").map(entry => entry.name),
    sections: [...document.querySelectorAll("h2")].map(head => head.textContent),
  }), "*");
});
</script>"""
# A window cannot be as narrow as a phone; a frame in it can.
FRAME = """<!doctype html><body>
<script>onmessage = event => document.body.setAttribute("data-probe", event.data);</script>
<iframe src="{page}" style="border: 0; width: {width}px; height: 900px"></iframe>"""


@pytest.fixture(scope="module")
def reports(recorded_demo, tmp_path_factory):
    """Name → file, of each kind of report."""
    folder = tmp_path_factory.mktemp("reports")
    random = np.random.default_rng(0)
    results = [
        EpisodeResult(
            task=task,
            seed=seed,
            success=seed > 0,
            episode_return=100.0,
            ticks=200,
            latency=random.lognormal(-7, 0.5, 200),
            stages={stage: random.lognormal(-9, 0.5, 200) for stage in STAGES},
            wall=1.0,
        )
        for task in ("reach-v3", "push-v3", "pick-place-v3")
        for seed in range(3)
    ]
    info = RunInfo("metaworld", "lockstep", "models/x", 1, 80.0, "2026-01-02 03:04:05", 9.0)
    write_report(folder / "demo.html", results, info)
    outcomes = [
        Outcome(f"task-{task}-v3", seed, bool(seed % 3), 100 + 10 * task + seed, 50.0)
        for task in range(12)
        for seed in range(6)
    ]
    parameters = {"subject": "models/x", "suite": "metaworld", "first_seeds": [1]}
    write_results(folder / "eval", outcomes, parameters)
    bundle, bag = recorded_demo
    command = [sys.executable, "-m", "lram_core.cli", "replay", str(bag), "--policy", str(bundle)]
    command += ["--policy", str(other_bundle(folder))]
    subprocess.run([*command, "--out", str(folder / "replay")], check=True, timeout=240)
    return {
        "demo": folder / "demo.html",
        "eval": folder / "eval" / "report.html",
        "replay": folder / "replay" / "report.html",
    }


def probe(page: Path, folder: Path, width: int) -> dict:
    """Ask the browser about a page in a window of that width."""
    copy = folder / f"probed-{width}.html"
    copy.write_text(page.read_text().replace("</head>", f"{PROBE}</head>"))
    frame = folder / f"frame-{width}.html"
    frame.write_text(FRAME.format(page=copy.name, width=width))
    dom = run_chromium(folder, "--virtual-time-budget=5000", "--dump-dom", frame.resolve().as_uri())
    found = re.search(r'data-probe="([^"]*)"', dom)
    assert found, dom[-2000:]
    return json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&"))


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize(
    ("name", "figures", "folded", "sections"),
    [
        ("demo", 3, 0, ["Success by task", "Latency of a control tick", "Episodes", "The run"]),
        ("eval", 2, 0, ["By task", "Tasks", "The evaluation"]),
        (
            "replay",
            9,
            1,
            [
                "Side by side",
                "Recorded and replayed commands",
                "Error of each joint",
                "Tokens",
                "Parity",
                "Latency as recorded",
                "Streams as recorded",
                "The replay",
            ],
        ),
    ],
)
def test_a_browser_draws_every_plot(reports, tmp_path, name, figures, folded, sections, width):
    page = reports[name]
    check_self_contained(page.read_text())
    seen = probe(page, tmp_path, width)
    assert seen["loaded"] == []
    assert seen["sections"] == sections
    assert seen["window"] == width
    assert seen["width"] <= width, "the page is wider than the window"
    assert seen["small"] == 0, "text in figures that nobody can read"
    assert seen["figures"] == figures
    assert len(seen["boxes"]) == figures - folded

    picture = screenshot(page, tmp_path, width, seen["height"])
    assert picture.size == (width, seen["height"])
    for x, y, wide, high in seen["boxes"]:
        assert wide > 0.8 * min(width, 500) - 40
        area = np.asarray(picture.crop(tuple(map(round, (x, y, x + wide, y + high))))).astype(int)
        dark = (area.sum(axis=2) < 200).mean()  # axes and their labels
        coloured = (np.ptp(area, axis=2) > 60).mean()  # lines, bars, points
        assert dark > 0.003, (x, y)
        assert coloured > 0.0008, (x, y)


def test_all_reports_have_one_look(reports):
    styles = {re.search(r"<style>.*?</style>", p.read_text(), re.S)[0] for p in reports.values()}
    assert len(styles) == 1
