"""How well a training uses its machine.

*Model FLOP/s utilisation* (MFU; Chowdhery et al. 2022, PaLM, appendix B) is the rate of the
floating-point operations that forward and backward pass need, over what the machine can do. The
*data share* is the part of the time in which the network waits for its next batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from lram_core.joint_model import JointModel
from lram_core.training.batch import mixed_precision
from lram_core.training.config import TrainConfig
from lram_core.training.domains import Domain

PEAKS = {"H200": 989e12, "H100 PCIe": 756e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12}
"""Dense bfloat16 FLOP/s by the data sheet, by a part of the GPU's name."""
_SIZE = 1024
BACKWARD = 2
"""A backward pass has twice the products of the forward pass."""


def step_flops(
    model: JointModel, domains: list[Domain], config: TrainConfig, device: torch.device
) -> int:
    """Return the FLOPs of one part of a batch, forward and backward; products alone count."""
    batch = {}
    for domain in domains:
        shape = (domain.streams, config.context)
        size = domain.schema.observation_size
        batch[domain.name] = {
            "observations": torch.zeros(*shape, size, device=device),
            "returns_to_go": torch.zeros(shape, device=device),
            "rewards": torch.zeros(shape, device=device),
            "start": torch.zeros(shape, dtype=torch.bool, device=device),
        }
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter, mixed_precision(device, config):
        model(batch)
    return int(counter.get_total_flops()) * (1 + BACKWARD)


@lru_cache
def peak_flops(device: torch.device, bf16: bool) -> tuple[float, str]:
    """Return FLOP/s of a device and where the figure is from.

    Args:
        device: where the training runs. bf16: whether in bfloat16.

    Returns:
        The data sheet's figure for a known GPU in bfloat16; otherwise the best of some products
        of square matrices in that precision, measured now.
    """
    if device.type == "cuda" and bf16:
        name = torch.cuda.get_device_name(device)
        for part, peak in PEAKS.items():
            if part in name:
                return peak, f"data sheet of {part}, bfloat16"
    layer = nn.Linear(_SIZE, _SIZE, bias=False, device=device)
    inputs = torch.ones(_SIZE, _SIZE, device=device)
    best = float("inf")
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        for _ in range(3):
            began = time.perf_counter()
            layer(inputs)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - began)
    return 2 * _SIZE**3 / best, f"measured, product of {_SIZE} × {_SIZE} matrices"


class Stopwatch:
    """Time since the last row of the metrics, and what of it went by waiting for data."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        self._began = time.perf_counter()
        self._waited = 0.0
        self.steps = 0

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count a step, and the block as waiting for its data."""
        began = time.perf_counter()
        yield
        self.steps += 1
        self._waited += time.perf_counter() - began

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._began

    @property
    def data_share(self) -> float:
        return self._waited / self.seconds
