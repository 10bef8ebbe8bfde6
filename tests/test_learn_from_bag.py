"""Recorded bags teach what the simulator's own demonstrations do: the whole pipeline, small."""

from __future__ import annotations

import json

from benchmarks import learn_from_bag


def test_the_pipeline_from_bags_is_the_one_from_the_store(tmp_path):
    report = tmp_path / "report.json"
    words = "--task reach-v3 --episodes 3 --held-out 1 --evaluations 1 --steps 2 --batch 2"
    learn_from_bag.main([*words.split(), "--work", str(tmp_path / "work"), "--json", str(report)])
    found = json.loads(report.read_text())
    assert found["recorded"]["success"] == 3
    assert found["data"]["episodes"] == [3, 3]
    assert found["data"]["ticks"][0] == found["data"]["ticks"][1]
    # The node hands float32 observations to the expert, the store's expert saw float64; contacts
    # of the object, which the expert does not look at here, make more of that difference.
    difference = found["data"]["largest_difference"]
    assert max(difference["actions"], difference["rewards"]) < 1e-4
    assert difference["observations"] < 0.01
    native, bag = (found["ways"][way] for way in learn_from_bag.WAYS)
    assert native["replay"]["ticks"] == bag["replay"]["ticks"] > 10
    assert abs(native["replay"]["perplexity"] / bag["replay"]["perplexity"] - 1) < 0.01
    assert native["success"][1] == bag["success"][1] == 1
    (table,) = learn_from_bag.markdown(found).values()
    assert "reach-v3: 3 episodes of its expert" in table
