"""DMControl as suites: repeatable, laid out by key, with the paper's tasks and returns."""

from __future__ import annotations

import os
import subprocess
import sys

import mujoco
import numpy as np
import pytest

from lram_core.errors import TaskError
from lram_core.observation import ObservationAssembler
from lram_sim.dmcontrol import RobotSuite, UnionSuite
from lram_sim.dmcontrol_env import load_env
from lram_sim.dmcontrol_layouts import EMBODIMENTS, TARGET_RETURNS, UNION_OBSERVATION, suite_name
from lram_sim.suite_registry import get_suite, suite_names
from lram_sim.task_choice import resolve_tasks
from lram_sim.topics import check_topics

UNION = UnionSuite()
TICKS = 25
ACTIONS = np.random.default_rng(0).uniform(-1, 1, (TICKS, 6))


def paths(name: str) -> tuple[RobotSuite, str]:
    domain, task = name.split("-")
    return RobotSuite(domain), task


@pytest.mark.parametrize("name", TARGET_RETURNS)
def test_an_episode_depends_on_task_and_seed_alone(name: str) -> None:
    """Also: both layouts hold the numbers of DMControl, and sensors equal the observation."""
    suite, task = paths(name)
    fresh, used, union = suite.make(task), suite.make(task), UNION.make(name)
    count = len(suite.action_fields)
    for seed in (3, 4):
        used.reset(seed)
        np.random.seed(seed)
        for action in ACTIONS[::-1]:
            used.step(action[:count])
    first = fresh.reset(2**62)
    np.testing.assert_array_equal(first, used.reset(2**62))
    union.reset(2**62)
    assembler = ObservationAssembler(fresh.observation_fields)
    for action in ACTIONS:
        result, other = fresh.step(action[:count]), used.step(action[:count])
        wide = union.step(action)
        np.testing.assert_array_equal(result.observation, other.observation)
        assert result.reward == other.reward == wide.reward
        assert not result.success
        assert 0 <= result.reward <= 1
        sensors = fresh.sensors()
        np.testing.assert_array_equal(np.concatenate(list(sensors.values())), result.observation)
        np.testing.assert_array_equal(
            assembler.assemble(sensors), result.observation.astype(np.float32)
        )
        for field in fresh.observation_fields:
            row = union.sensors()[field.name]
            np.testing.assert_array_equal(row[: field.size], sensors[field.name])
            assert not row[field.size :].any()
    assert not np.array_equal(fresh.reset(8), first)
    for each in (fresh, used, union):
        each.close()


@pytest.mark.parametrize("name", TARGET_RETURNS)
def test_fields_are_those_of_the_compiled_model(name: str) -> None:
    suite, task = paths(name)
    env = load_env(suite.robot, task)
    spec = env.observation_spec()
    sizes = {key: int(np.prod(value.shape)) for key, value in spec.items()}
    assert sizes.items() <= {field.name: field.size for field in suite.observation_fields}.items()
    assert [field.name for field in suite.observation_fields][: len(sizes)] == list(sizes)
    assert 1 / env.control_timestep() == pytest.approx(suite.control_rate)
    model = env.physics.model.ptr
    assert [field.name for field in suite.action_fields] == [
        model.actuator(i).name for i in range(model.nu)
    ]
    for i, field in enumerate(suite.action_fields):
        np.testing.assert_array_equal(model.actuator_ctrlrange[i], [field.low, field.high])
        motor = model.actuator_biastype[i] == mujoco.mjtBias.mjBIAS_NONE
        assert field.kind == ("joint_effort" if motor else "joint_position")
        if motor:
            sliding = model.actuator_trntype[i] == mujoco.mjtTrn.mjTRN_TENDON or (
                model.jnt_type[model.actuator_trnid[i, 0]] == mujoco.mjtJoint.mjJNT_SLIDE
            )
            assert field.unit == f"{model.actuator_gear[i, 0]:g} {'N' if sliding else 'N m'}"


def test_the_union_has_the_204_numbers_of_the_paper() -> None:
    """Each key of the suite's benchmark tasks once, as long as its longest use."""
    from dm_control import suite as dm_suite

    longest: dict[str, int] = {}
    for domain, task in dm_suite.BENCHMARKING:
        if domain in ("quadruped", "dog"):
            continue
        for key, value in load_env(domain, task).observation_spec().items():
            longest[key] = max(longest.get(key, 0), int(np.prod(value.shape)))
    assert longest == {field.name: field.size for field in UNION_OBSERVATION}
    assert sum(longest.values()) == 204
    assert len(UNION.action_fields) == max(len(e.action) for e in EMBODIMENTS.values()) == 6


def test_tasks_and_splits_are_the_papers() -> None:
    assert len(UNION.splits["train"]) == 11
    assert UNION.splits["test"] == [
        "cartpole-balance",
        "finger-turn_hard",
        "pendulum-swingup",
        "reacher-hard",
        "walker-walk",
    ]
    assert len(resolve_tasks(UNION, "train,test")) == len(UNION.tasks()) == 16
    walker = get_suite("dmcontrol-walker")
    assert walker.tasks() == ["stand", "walk", "run"]
    assert walker.splits["train"] == ["stand", "run"]
    assert walker.splits["test"] == ["walk"]
    assert UNION.reference_returns["walker-run"] == 513.464


def test_every_embodiment_is_a_suite() -> None:
    names = [name for name in suite_names() if name.startswith("dmcontrol")]
    assert names == sorted(["dmcontrol", *map(suite_name, EMBODIMENTS)])
    for name in names:
        assert get_suite(name).name == name
    tasks = [f"{domain}-{task}" for domain, each in EMBODIMENTS.items() for task in each.tasks]
    assert sorted(tasks) == sorted(TARGET_RETURNS)


def test_an_episode_is_cut_at_the_step_limit() -> None:
    task = get_suite("dmcontrol-pendulum").make("swingup")
    with pytest.raises(TaskError, match="reset it first"):
        task.step(np.zeros(1))
    with pytest.raises(TaskError, match="before the first reset"):
        task.sensors()
    task.reset(0)
    results = [task.step(np.zeros(1)) for _ in range(task.max_episode_steps)]
    assert [r.truncated for r in results] == [False] * 999 + [True]
    with pytest.raises(TaskError, match="reset it first"):
        task.step(np.zeros(1))


def test_actions_are_clipped_and_checked() -> None:
    task = get_suite("dmcontrol-reacher").make("easy")
    task.reset(1)
    far = task.step([5.0, -7.0]).observation
    task.reset(1)
    np.testing.assert_array_equal(far, task.step([1.0, -1.0]).observation)
    for wrong in ([0.0], [0.0, np.nan]):
        with pytest.raises(TaskError, match="expected 2 finite action values"):
            task.step(wrong)
    with pytest.raises(TaskError, match="seed -1"):
        task.reset(-1)


@pytest.mark.parametrize("velocity", [np.inf, 1e12])
def test_an_unstable_simulation_is_named(velocity: float) -> None:
    task = get_suite("dmcontrol-cheetah").make("run")
    task.reset(0)
    task.data.qvel[:] = velocity
    result = task.step(np.zeros(6))
    assert result.failure.startswith("the simulation became unstable: ")
    assert result.truncated
    assert np.isfinite(result.observation).all()
    with pytest.raises(TaskError, match="reset it first"):
        task.step(np.zeros(6))
    task.reset(0)
    task.step(np.zeros(6))


@pytest.mark.parametrize("name", [n for n in suite_names() if n.startswith("dmcontrol")])
def test_the_bridge_has_a_topic_for_every_sensor(name: str) -> None:
    suite = get_suite(name)
    check_topics(name, suite.topics, suite.observation_fields)
    if suite.camera:
        model = suite.make(suite.tasks()[0]).model
        assert suite.camera in [model.camera(i).name for i in range(model.ncam)]


def test_joint_state_names_hinges_and_slides() -> None:
    task = get_suite("dmcontrol-cartpole").make("swingup")
    task.reset(0)
    names, position, velocity = task.joint_state()
    assert names == ("slider", "hinge_1")
    assert position[1] == pytest.approx(np.pi, abs=0.1)
    assert velocity.shape == (2,)
    position, orientation = task.frames()["pole_1"]
    assert position == pytest.approx([0, 0, 1], abs=0.1)
    assert np.abs(orientation) == pytest.approx([0, 1, 0, 0], abs=0.1)  # hangs: turned about y
    fish = get_suite("dmcontrol-fish").make("upright")
    fish.reset(0)
    assert len(fish.joint_state()[0]) == 7  # the free joint of the torso is not among them


def test_unknown_tasks_list_what_there_is() -> None:
    with pytest.raises(TaskError, match=r"unknown task 'hop' of suite .*tasks: stand$"):
        get_suite("dmcontrol-hopper").make("hop")
    with pytest.raises(TaskError, match="task 'hopper-stand' has no expert; tasks with one: "):
        get_suite("dmcontrol-hopper").make("stand").expert()


@pytest.mark.parametrize("backend", ["disable", "egl", "glfw", None])
def test_imports_whatever_draws(backend: str | None) -> None:
    """dm_control alone looks for a display, with a warning, where nothing is said."""
    code = (
        "import os; from lram_sim.suite_registry import get_suite;"
        "get_suite('dmcontrol-pendulum').make('swingup').reset(0);"
        "print(os.environ.get('MUJOCO_GL'))"
    )
    environment = {k: v for k, v in os.environ.items() if k != "MUJOCO_GL"}
    environment |= {"MUJOCO_GL": backend} if backend else {}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(backend)
    assert done.stderr == ""
