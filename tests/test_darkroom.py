"""Dark-Room: the grid, the suite, and the learning histories."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lram_core.data.store import Dataset
from lram_core.errors import ContractError, DataError, TaskError
from lram_sim.contract_text import contract_text
from lram_sim.darkroom import (
    CELLS,
    MOVES,
    SIDE,
    TRIAL_STEPS,
    DarkRooms,
    best_return,
    goal_split,
    one_hot,
)
from lram_sim.darkroom_histories import collect_histories
from lram_sim.darkroom_learner import learn
from lram_sim.darkroom_suite import DarkRoomSuite
from lram_sim.rollout import ExpertPolicy, run_episode
from lram_sim.suite_registry import get_suite

SUITE = DarkRoomSuite()


@given(moves=st.lists(st.integers(0, len(MOVES) - 1), max_size=60), goal=st.integers(0, CELLS - 1))
def test_a_move_is_to_a_neighbour_and_walls_hold(moves: list[int], goal: int) -> None:
    rooms = DarkRooms([goal])
    row, column = divmod(int(rooms.reset()[0]), SIDE)
    assert (row, column) == (0, 0)
    for move in moves:
        cells, rewards = rooms.step([move])
        down, right = {"up": (-1, 0), "down": (1, 0), "left": (0, -1), "right": (0, 1)}.get(
            MOVES[move], (0, 0)
        )
        row, column = min(max(row + down, 0), SIDE - 1), min(max(column + right, 0), SIDE - 1)
        assert cells[0] == row * SIDE + column
        assert rewards[0] == (cells[0] == goal)
        seen = one_hot(cells)[0]
        assert (seen.sum(), seen[row], seen[SIDE + column]) == (2, 1, 1)


def test_goals_are_split_once_and_for_all() -> None:
    train, test = goal_split()
    assert (len(train), len(test)) == (80, 20)
    assert sorted(train + test) == list(range(CELLS))
    assert SUITE.splits["test"][:2] == [f"goal-{g // SIDE}-{g % SIDE}" for g in test[:2]]


@pytest.mark.parametrize("task", ["goal-0-0", "goal-0-1", "goal-9-9", "goal-4-7"])
def test_the_expert_takes_a_shortest_way(task: str) -> None:
    room = get_suite("darkroom").make(task)
    record = run_episode(room, ExpertPolicy(room), seed=5)
    assert record.steps == TRIAL_STEPS
    assert record.total_reward == best_return(SUITE.goal(task)) == SUITE.reference_returns[task]


def test_a_bridge_could_serve_it() -> None:
    assert "row_9" in contract_text(SUITE)


def test_bad_input_is_refused() -> None:
    with pytest.raises(
        TaskError, match=r"unknown task 'goal-10-0' of suite 'darkroom'; nearest: .*; splits"
    ):
        SUITE.make("goal-10-0")
    room = SUITE.make("goal-1-1")
    with pytest.raises(TaskError, match="no episode is running"):
        room.step([0])
    room.reset(0)
    with pytest.raises(TaskError, match="expected 1 finite action value"):
        room.step([np.nan])
    with pytest.raises(TaskError, match="nothing to draw"):
        _ = room.model


def test_an_agent_learns_and_its_history_is_what_happened() -> None:
    goals = [11, 33, 4]
    history = learn(goals, trials=60, seed=1)
    returns = history.rewards.sum(axis=1)
    assert returns[:5].mean() + 20 < returns[-5:].mean()
    rooms = DarkRooms(goals)
    for trial in (0, 59):
        cells = rooms.reset()
        for step in range(TRIAL_STEPS):
            np.testing.assert_array_equal(history.cells[trial, step], cells)
            cells, rewards = rooms.step(history.moves[trial, step])
            np.testing.assert_array_equal(history.rewards[trial, step], rewards)
    again = learn(goals, trials=60, seed=1)
    np.testing.assert_array_equal(history.moves, again.moves)
    # Agents share nothing: a goal's history does not depend on who learns beside it, but for the
    # random numbers that are drawn.
    assert (learn(goals, trials=5, seed=2).moves != history.moves[:5]).any()


def test_histories_are_kept_in_the_order_of_life(tmp_path: Path) -> None:
    out, tasks = tmp_path / "histories", ["goal-0-2", "goal-3-3"]
    collect_histories(SUITE, tasks, trials=30, every=3, seed=0, out=out)
    data = Dataset.open(out)
    assert data.column("task").tolist() == [task for task in tasks for _ in range(10)]
    assert data.column("seed").tolist() == 2 * list(range(0, 30, 3))
    history = learn([SUITE.goal(task) for task in tasks], trials=30, seed=0)
    np.testing.assert_array_equal(data.episode(12).actions[:, 0], history.moves[6, :, 1])
    np.testing.assert_array_equal(data.episode(12).rewards, history.rewards[6, :, 1])
    before = (out / "dataset.json").stat().st_mtime_ns
    collect_histories(SUITE, tasks, trials=30, every=3, seed=0, out=out)
    assert (out / "dataset.json").stat().st_mtime_ns == before
    with pytest.raises(DataError, match="a dataset of other every, seed is there already"):
        collect_histories(SUITE, tasks, trials=30, every=1, seed=1, out=out)


def test_a_discrete_action_is_of_whole_numbers() -> None:
    field = SUITE.action_fields[0]
    raw = {"name": "move", "unit": "1", "kind": "discrete", "low": 0, "high": 4}
    assert type(field).from_dict(raw) == field
    with pytest.raises(ContractError, match=r"whole number, found low 0, high 4\.5"):
        type(field).from_dict({**raw, "high": 4.5})
