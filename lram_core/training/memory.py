"""What to do when the memory is too small, a GPU's or the machine's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from lram_core.errors import CommandError, one_line
from lram_core.training.config import TrainConfig


@contextmanager
def told_of_memory(config: TrainConfig, processes: int = 1) -> Iterator[None]:
    """Turn the want of memory into a message that says which settings to lower.

    Raises:
        CommandError: in place of ``torch.cuda.OutOfMemoryError``, or what a CPU has for it.
    """
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        advice = _advice("the GPU's memory", config, processes)
        raise CommandError(f"{advice} ({one_line(error, 160)})") from None
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "can't allocate memory" not in str(error):
            raise
        raise CommandError(
            f"{_advice('the memory', config, processes)} ({one_line(error, 160)})"
        ) from None


def _advice(which: str, config: TrainConfig, processes: int) -> str:
    half = config.batch // 2
    ways = []
    if half:
        ways.append(
            f"batch={half} accumulate={2 * config.accumulate} (the same steps in half the memory)"
        )
    ways.append(f"context={max(1, config.context // 2)} (shorter windows)")
    if not config.bf16 and which == "the GPU's memory":
        ways.append("bf16=true")
    if processes > 1 and config.parallel == "ddp":
        ways.append("parallel=fsdp (weights and moments spread over the processes)")
    return (
        f"{which} is too small for batch {config.batch} of {config.context} ticks; "
        f"try one of: {', or '.join(ways)}, or a smaller size"
    )
