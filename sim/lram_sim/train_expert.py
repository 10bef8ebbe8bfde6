"""``lram train-expert``: an expert for a DMControl task by soft actor-critic, on one CPU core.

The learning is Stable-Baselines3's (the optional extra ``rl``); here are the tasks as it wants
them, the settings by task, and the small file that the expert runs from without it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from lram_core.data.files import atomic_path
from lram_core.errors import CommandError, listed
from lram_sim.dmcontrol_experts import Layers, Network
from lram_sim.suite import EVALUATION_SEED, Suite, Task, package_versions

HIDDEN = 128
"""Width of the two hidden layers of the actor, which is what is kept."""


@dataclass(frozen=True)
class Settings:
    """What determines a training run.

    Attributes:
        decisions: largest number of actions chosen, and of gradient steps.
        enough: mean return at which the training ends.
        repeat: control ticks an action is held for in training (the expert then acts every tick).
        learning_rate, batch, gamma, tau: of soft actor-critic.
        critic: width of the two hidden layers of the critics.
        warm_up: random decisions before learning begins.
        seed: of the network, the exploration and the episodes.
        evaluate_every: decisions between evaluations; the best network is kept.
        episodes: number of episodes of an evaluation.
    """

    decisions: int = 60_000
    enough: float = 950.0
    repeat: int = 2
    learning_rate: float = 5e-4
    batch: int = 128
    gamma: float = 0.99
    tau: float = 0.01
    critic: int = 128
    warm_up: int = 1_500
    seed: int = 0
    evaluate_every: int = 2_500
    episodes: int = 5


SETTINGS = {
    "cartpole-swingup": Settings(decisions=25_000, enough=840, repeat=4),
    "walker-stand": Settings(decisions=40_000, repeat=2),
}
"""By full task name; any other task gets :class:`Settings` as it is."""


class LearningTask(gymnasium.Env[npt.NDArray[np.float32], npt.NDArray[np.float32]]):
    """A task of ours as Gymnasium has it; every episode has the next seed."""

    def __init__(self, task: Task, repeat: int, seed: int) -> None:
        size = sum(field.size for field in task.observation_fields)
        self.observation_space = gymnasium.spaces.Box(-np.inf, np.inf, (size,), np.float32)
        self.action_space = gymnasium.spaces.Box(-1, 1, (len(task.action_fields),), np.float32)
        self._task, self._repeat, self._next = task, repeat, seed

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Start the next episode; a ``seed`` given here is not used."""
        observation = self._task.reset(self._next)
        self._next += 1
        return observation.astype(np.float32), {}

    def step(
        self, action: npt.NDArray[np.float32]
    ) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        """Hold an action for the number of ticks; rewards add up."""
        total = 0.0
        for _ in range(self._repeat):
            result = self._task.step(action)
            total += result.reward
            if result.truncated:
                break
        return result.observation.astype(np.float32), total, False, result.truncated, {}


def train_expert(
    suite: Suite,
    task: str,
    out: Path,
    settings: Settings,
    on_progress: Callable[[int, float, float], None] = lambda decisions, mean, best: None,
) -> float:
    """Train an actor and write it to ``out`` as safetensors, anew whenever it has become better.

    Args:
        suite, task: what to learn.
        out: file to write; its metadata names the settings and versions.
        settings: see :class:`Settings`.
        on_progress: called after each evaluation with the decisions taken, the mean return of
            this network and of the best one.

    Returns:
        Mean return of the network kept, over the episodes by which it was chosen.

    Raises:
        CommandError: Stable-Baselines3 is not installed.
    """
    try:
        import torch
        from stable_baselines3 import SAC
        from stable_baselines3.common.callbacks import BaseCallback
    except ModuleNotFoundError as error:
        raise CommandError(
            f"'lram train-expert' needs the Python module '{error.name}'; "
            "install the extra 'rl' (pip install stable-baselines3)"
        ) from None
    torch.set_num_threads(1)
    # Episodes of the training and of the choice: far from each other and from those of `collect`.
    first = EVALUATION_SEED // 2 + 1_000_000 * settings.seed
    chosen_by = EVALUATION_SEED - 1_000
    env = LearningTask(suite.make(task), settings.repeat, first)
    judge = suite.make(task)
    model = SAC(
        "MlpPolicy",
        env,
        learning_rate=settings.learning_rate,
        batch_size=settings.batch,
        buffer_size=settings.decisions,
        learning_starts=settings.warm_up,
        gamma=settings.gamma,
        tau=settings.tau,
        seed=settings.seed,
        device="cpu",
        policy_kwargs={
            "net_arch": {"pi": [HIDDEN, HIDDEN], "qf": [settings.critic, settings.critic]}
        },
    )
    best = -np.inf
    begin = time.monotonic()

    class Judge(BaseCallback):
        def _on_step(self) -> bool:
            nonlocal best
            done = self.num_timesteps
            if done % settings.evaluate_every and done < settings.decisions:
                return True
            network = Network(actor_layers(model))
            seeds = range(chosen_by, chosen_by + settings.episodes)
            mean = float(np.mean([episode_return(judge, network, seed) for seed in seeds]))
            if mean > best:
                best = mean
                description = {
                    "suite": suite.name,
                    "task": task,
                    "algorithm": "soft actor-critic",
                    **{key: f"{value:g}" for key, value in asdict(settings).items()},
                    "chosen_at": f"{done}",
                    "mean_return": f"{mean:.1f}",
                    "minutes": f"{(time.monotonic() - begin) / 60:.1f}",
                    **suite.versions(),
                    **package_versions("stable-baselines3", "torch"),
                }
                export(out, network.layers, description)
            on_progress(done, mean, best)
            return mean < settings.enough

    model.learn(settings.decisions, callback=Judge())
    return float(best)


def actor_layers(model: Any) -> Layers:
    """Return weights (in, out) and biases of the layers from observation to mean action."""
    actor = model.policy.actor
    modules = [*(m for m in actor.latent_pi if hasattr(m, "weight")), actor.mu]
    return [(m.weight.detach().numpy().T.copy(), m.bias.detach().numpy().copy()) for m in modules]


def export(out: Path, layers: Layers, metadata: dict[str, str]) -> None:
    """Write an actor for :class:`lram_sim.dmcontrol_experts.Network`; whole or not at all."""
    tensors = {}
    for number, (weight, bias) in enumerate(layers):
        tensors[f"weight_{number}"] = np.ascontiguousarray(weight, dtype=np.float32)
        tensors[f"bias_{number}"] = np.ascontiguousarray(bias, dtype=np.float32)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(out) as temporary:
        save_file(tensors, temporary, metadata)


def episode_return(task: Task, network: Network, seed: int) -> float:
    """Return the sum of rewards of one episode in which the actor acts every tick."""
    observation, total, over = task.reset(seed), 0.0, False
    while not over:
        result = task.step(network.act(observation))
        observation, total, over = result.observation, total + result.reward, result.truncated
    return total


def full_name(suite: Suite, task: str) -> str:
    """Return DMControl's name of a task, e.g. ``cartpole-swingup``; raises CommandError if none."""
    if not suite.name.startswith("dmcontrol-") or task not in suite.tasks():
        raise CommandError(
            f"experts are trained for a task of a DMControl robot, found '{task}' of "
            f"'{suite.name}'; its tasks: {listed(suite.tasks())}"
        )
    return f"{suite.robot}-{task}"
