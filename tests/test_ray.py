"""Collection and evaluation over Ray: a worker that dies costs nothing and counts for nothing."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from lram_core.cli import cli
from lram_core.data.store import Dataset
from lram_core.errors import CommandError, LramError, TaskError
from lram_sim import collect as collection
from lram_sim import evaluate as evaluation
from lram_sim import ray_workers
from lram_sim.collect import collect
from lram_sim.demonstrate import Recipe
from lram_sim.evaluate import evaluate
from lram_sim.ray_workers import LOCAL, RayCluster
from lram_sim.suite import EVALUATION_SEED
from lram_sim.suite_registry import get_suite
from lram_sim.workers import run_parallel

WORKERS = 2
DEADLINE_S = 120
STARTS = 10
TASKS = ["cartpole-balance", "reacher-easy"]
pytestmark = pytest.mark.timeout(600)


def descendants(pid: int) -> Iterator[int]:
    """Processes below ``pid``, from /proc."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:  # it has just ended
            continue
        children.setdefault(parent, []).append(int(path.parent.name))
    todo = [pid]
    while todo:
        below = children.get(todo.pop(), [])
        yield from below
        todo += below


def busy_workers(head: int) -> list[int]:
    """Workers below the process ``head`` that run an item: Ray names them after the function."""
    found = []
    for pid in descendants(head):
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if title.startswith("ray::_run"):
            found.append(pid)
    return found


class Killer:
    """Kills a busy worker of the cluster when the first item is done."""

    def __init__(self, head: int) -> None:
        self.head = head
        self.killed = 0
        self.items = 0

    def __call__(self, episodes: int, steps: int) -> None:
        self.items += 1
        deadline = time.monotonic() + DEADLINE_S
        while not self.killed:
            assert time.monotonic() < deadline, "no worker is at work"
            for pid in busy_workers(self.head)[:1]:
                os.kill(pid, signal.SIGKILL)
                self.killed = pid


@pytest.fixture(scope="module")
def token() -> Iterator[None]:
    """One token for both sides, whatever this user's own clusters have."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "token")
        patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
        yield


@pytest.fixture(scope="module")
def head(token: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, str]]:
    """Process and address of a cluster of two worker processes, started as on a cluster's head.

    Ray gives itself 30 s for a start; on a busy machine it is started again.
    """
    log = tmp_path_factory.mktemp("ray") / "head.log"
    for _ in range(STARTS):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        words = f"--head --block --port={port} --num-cpus={WORKERS} --include-dashboard=false"
        words += f" --object-store-memory={128 * 2**20} --disable-usage-stats"
        with log.open("w") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "ray.scripts.scripts", "start", *words.split()],
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # what a failed start leaves is ended with its group
            )
        try:
            while process.poll() is None and "Ray runtime started" not in log.read_text():
                time.sleep(0.2)
            if process.poll() is None:
                yield process.pid, f"127.0.0.1:{port}"
                return
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    pytest.fail(f"Ray did not start in {STARTS} tries:\n{log.read_text()}")


@pytest.fixture
def cluster(head: tuple[int, str]) -> RayCluster:
    return RayCluster(head[1], "dmcontrol")


def test_a_dataset_is_the_same_though_a_worker_was_killed(tmp_path, monkeypatch, head, cluster):
    monkeypatch.setattr(collection, "CHUNK", 2)
    suite, recipe, killer = get_suite("dmcontrol"), Recipe(6, 0, 0.3), Killer(head[0])
    here, there = tmp_path / "here", tmp_path / "there"
    local = collect(suite, TASKS, recipe, here, WORKERS)
    far = collect(suite, TASKS, recipe, there, WORKERS, on_progress=killer, run=cluster)
    assert killer.killed
    assert killer.items == 6
    sets = [Dataset.open(path) for path in (here, there)]
    for name in ("observations", "actions", "rewards"):
        np.testing.assert_array_equal(*(np.asarray(getattr(each, name)) for each in sets))
    assert sets[0].episodes.equals(sets[1].episodes)
    identities = [
        (each["task"], each["seed"])
        for each in sets[1].episodes.select(["task", "seed"]).to_pylist()
    ]
    assert len(set(identities)) == len(identities) == 12
    for task in TASKS:
        local[task].seconds = far[task].seconds = 0.0
    assert local == far


def test_a_roll_in_finds_its_bundle_from_another_folder(tmp_path, monkeypatch, head, tiny_bundle):
    """The workers run where ``ray start`` was, not where the command is."""
    monkeypatch.chdir(tiny_bundle.parent)
    cluster, suite = RayCluster(head[1], "metaworld"), get_suite("metaworld")
    recipe, near = Recipe(1, 0, 0.0, 1.0), Path(tiny_bundle.name)
    tallies = collect(suite, ["reach-v3"], recipe, tmp_path / "out", 1, near, run=cluster)
    assert tallies["reach-v3"].collected == 1
    assert Dataset.open(tmp_path / "out").provenance["roll_in_bundle"] == str(near)


def test_an_evaluation_is_the_same_though_a_worker_was_killed(monkeypatch, head, cluster):
    monkeypatch.setattr(evaluation, "CHUNK", 1)
    suite, killer = get_suite("dmcontrol"), Killer(head[0])
    words = (suite, TASKS, 3, [EVALUATION_SEED], WORKERS, None)
    there = evaluate(*words, on_progress=killer, run=cluster)
    assert killer.killed
    assert killer.items == len(there) == 6
    assert there == evaluate(*words)


def test_an_error_of_an_item_is_the_callers(cluster):
    for run in (cluster, run_parallel):
        with pytest.raises(TaskError) as caught:
            list(run(get_suite, ["no-suite"], 1))
        assert str(caught.value).startswith("unknown suite 'no-suite'; available: ")


def test_an_item_that_ends_every_worker_ends_the_run(cluster):
    with pytest.raises(CommandError, match="a Ray worker died 4 times with the same item"):
        list(cluster(os._exit, [1], 1))


def test_an_item_that_eats_all_memory_is_not_run_without_end(monkeypatch):
    """As Ray does unless told otherwise; its settings are read when it is imported."""
    setting = "RAY_task_oom_retries"
    monkeypatch.setenv(setting, "")  # so that it is put back
    del os.environ[setting]
    ray_workers._import_ray(LOCAL)
    assert os.environ[setting] == str(ray_workers.RETRIES)


def test_the_command_starts_a_cluster_and_ends_it(tmp_path):
    words = ["eval", "--expert", "--suite", "dmcontrol-reacher", "--tasks", "easy", "--ray", LOCAL]
    words += ["--episodes", "1", "--workers", "1", "--out", str(tmp_path / "eval")]
    command = [sys.executable, "-m", "lram_core.cli", *words]
    for _ in range(STARTS):  # as above
        done = subprocess.run(command, capture_output=True, text=True)
        if "timed out during startup" not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "eval" / "results.json").is_file()


def test_a_cluster_that_is_not_there_is_named(tmp_path):
    words = ["collect", "dmcontrol", "--tasks", "reacher-easy", "--episodes", "1"]
    words += ["--ray", "127.0.0.1:1", "--out", str(tmp_path / "data")]
    command = [sys.executable, "-m", "lram_core.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert "error: no Ray cluster at '127.0.0.1:1'" in done.stderr


@pytest.mark.parametrize(
    "words",
    [
        "collect darkroom --histories --tasks train --episodes 2 --ray local --out out",
        "eval --suite darkroom --bundle . --tasks test --trials 2 --ray local --out out",
    ],
)
def test_what_runs_in_one_process_is_refused_with_ray(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(cli, words.split())
    assert done.exit_code == 2
    assert "--ray " in done.output
    assert "in one process" in " ".join(done.output.split())
    assert not list(tmp_path.iterdir())


def test_without_ray_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(CommandError, match=r"pip install 'lram_ros\[ray\]'"):
        list(RayCluster(LOCAL, "dmcontrol")(abs, [1], 1))


def test_a_machine_with_other_versions_is_refused(monkeypatch):
    monkeypatch.setattr(ray_workers, "_versions", lambda suite: {"mujoco": "3.0"})
    with pytest.raises(LramError, match=r"other versions: mujoco 3\.0 \(here 3\.3"):
        ray_workers._run(abs, 1, "dmcontrol", {"mujoco": "3.3.0"})
