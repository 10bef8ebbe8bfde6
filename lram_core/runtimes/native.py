"""Kernels of our own on the CPU: a whole tick in C, in one pass over the weights."""

from __future__ import annotations

import ctypes
import logging
import os
import weakref
from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from lram_core.action_model import ActionModel, ModelConfig
from lram_core.errors import CommandError, RuntimeUnavailable, listed
from lram_core.native import library
from lram_core.native.pack import pack, unsupported
from lram_core.runtimes.base import (
    FloatArray,
    IntArray,
    Runtime,
    RuntimeOptions,
    StateArrays,
    check_state,
)

logger = logging.getLogger(__name__)

# CPU that the second thread is pinned to: a number, or "none".
CPU_VARIABLE = "LRAM_NATIVE_CPU"


class NativeRuntime(Runtime):
    """``liblram_native``. float32 or int8 weights, float32 state, nothing allocated in a tick.

    With two threads, both take parts of every product; the second is pinned to the last CPU that
    this process may use, or to the one that the environment variable ``LRAM_NATIVE_CPU`` names.
    Where this process may use one CPU only, one thread does all, and a warning says so.

    The environment variable ``LRAM_NATIVE_ISA`` (portable, avx2, avx512) names an instruction set
    instead of the best that the CPU has.
    """

    name: ClassVar[str] = "native"
    precisions: ClassVar[tuple[str, ...]] = ("fp32", "int8")

    @classmethod
    def unavailable(cls, config: ModelConfig, options: RuntimeOptions) -> str | None:
        if options.device.type != "cpu":
            return f"it runs on the CPU, not on {options.device}"
        if options.threads not in (1, 2):
            return f"it has 1 or 2 threads, found threads = {options.threads}"
        return library.problem() or unsupported(config)

    def __init__(self, model: ActionModel, options: RuntimeOptions | None = None) -> None:
        options = options or RuntimeOptions()
        reason = self.unavailable(model.config, options)
        if reason:
            raise RuntimeUnavailable(f"runtime native: {reason}")
        self.precision = self.choose_precision(options)
        self.isa = library.chosen_isa()
        self._library = library.load()
        self._threads = options.threads
        allowed = _allowed_cpus()
        if self._threads == 2 and len(allowed) == 1:
            logger.warning("runtime native: threads = 2 on one CPU; one thread is used")
            self._threads = 1
        self._second_cpu = _second_cpu(allowed) if self._threads == 2 else -1
        packed = pack(model, self.precision == "int8", self._threads, self._second_cpu)
        handle = self._library.lram_create(
            ctypes.byref(packed.shape), packed.pointers(), self.isa.encode()
        )
        if not handle:
            raise RuntimeUnavailable("runtime native: out of memory")
        self._handle: int = handle
        # Not at exit, when a daemon thread may still be in a tick: the system frees the memory.
        weakref.finalize(self, self._library.lram_destroy, handle).atexit = False
        self._form = {
            name: (tuple(value.shape), value.numel())
            for name, value in model.init_state(1, "meta").items()
        }
        size = sum(count for _, count in self._form.values())
        assert size == self._library.lram_state_size(handle), "state sizes of the two sides differ"
        config = model.config
        # Their addresses are looked up once: numpy's own look-up takes longer than the call.
        self._observation = np.zeros(config.observation_size, np.float32)
        self.logits = np.zeros((config.action_size, config.bins), np.float32)
        self._bins = np.zeros(config.action_size, np.int64)
        self._observation_at = self._observation.ctypes.data
        self._logits_at, self._bins_at = self.logits.ctypes.data, self._bins.ctypes.data

    def describe(self) -> str:
        if self._threads == 1:
            return f"native ({self.precision}, {self.isa}, 1 thread)"
        where = f", the second on CPU {self._second_cpu}" if self._second_cpu >= 0 else ""
        return f"native ({self.precision}, {self.isa}, 2 threads{where})"

    @property
    def traffic(self) -> tuple[int, int]:
        """Bytes of weights and of state that a tick reads; the state it writes as well."""
        found = np.zeros(2, np.int64)
        self._library.lram_traffic(self._handle, found.ctypes.data)
        return int(found[0]), int(found[1])

    def reset(self) -> None:
        self._library.lram_reset(self._handle)

    def tokenise(self, observation: FloatArray, return_to_go: float, reward: float | None) -> None:
        self._observation[:] = observation
        if reward is None:
            self._library.lram_tokenise(self._handle, self._observation_at, return_to_go)
        else:
            self._library.lram_tokenise_with_reward(
                self._handle, self._observation_at, return_to_go, reward
            )

    def step(self) -> IntArray:
        self._library.lram_step(self._handle, self._logits_at, self._bins_at)
        return self._bins

    def advance_reward(self, reward: float) -> None:
        self._library.lram_advance_reward(self._handle, reward)

    def state(self) -> StateArrays:
        flat = np.empty(sum(count for _, count in self._form.values()), np.float32)
        self._library.lram_get_state(self._handle, flat.ctypes.data)
        state: StateArrays = {}
        start = 0
        for name, (shape, count) in self._form.items():
            state[name] = flat[start : start + count].reshape(shape).copy()
            start += count
        return state

    def load_state(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        expected = {name: np.empty(shape, np.float32) for name, (shape, _) in self._form.items()}
        flat = np.concatenate([np.ravel(each) for each in check_state(state, expected).values()])
        self._library.lram_set_state(self._handle, flat.ctypes.data)


def _allowed_cpus() -> list[int]:
    """CPUs that this process may use; empty where the system does not tell."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def _second_cpu(allowed: list[int]) -> int:
    """CPU for the second thread; -1 not to pin it. Raises CommandError naming those there are."""
    wanted = os.environ.get(CPU_VARIABLE, "")
    if wanted == "none" or not (wanted or allowed):
        return -1
    if not wanted:
        return allowed[-1]
    if not wanted.isdigit() or int(wanted) not in allowed:
        raise CommandError(
            f"{CPU_VARIABLE} is {wanted!r}; expected none or one of {listed(allowed)}"
        )
    return int(wanted)
