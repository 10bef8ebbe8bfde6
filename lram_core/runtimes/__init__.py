"""Runtimes behind one interface, one file each, and the choice between them."""

from __future__ import annotations

import importlib
import logging
from typing import TYPE_CHECKING

from lram_core.errors import CommandError, RuntimeUnavailable, listed

if TYPE_CHECKING:  # the names alone, for a command's help, are to be had without PyTorch
    from lram_core.action_model import ActionModel
    from lram_core.runtimes.base import Runtime, RuntimeOptions

logger = logging.getLogger(__name__)

# Each is imported when it is asked for: none may be needed to import another.
RUNTIMES = {
    "native": "lram_core.runtimes.native:NativeRuntime",
    "torch": "lram_core.runtimes.eager:TorchRuntime",
    "cuda-graph": "lram_core.runtimes.cuda_graph:CudaGraphRuntime",
    "onnx": "lram_core.runtimes.onnx:OnnxRuntime",
}
AUTO = "auto"
# Fastest first, as measured by benchmarks/tick_latency.py.
AUTO_ORDER = {"cpu": ("native", "onnx", "torch"), "cuda": ("cuda-graph", "torch")}


def check_name(name: str) -> None:
    """Raises CommandError, listing what exists, unless ``name`` is a runtime's or ``auto``."""
    if name != AUTO and name not in RUNTIMES:
        raise CommandError(f"unknown runtime {name!r}; available: {listed([AUTO, *RUNTIMES])}")


def runtime_class(name: str) -> type[Runtime]:
    """Import a runtime. Raises CommandError listing those that exist."""
    check_name(name)
    module, attribute = RUNTIMES[name].split(":")
    found: type[Runtime] = getattr(importlib.import_module(module), attribute)
    return found


def make_runtime(model: ActionModel, name: str, options: RuntimeOptions) -> Runtime:
    """Put a model into a runtime.

    Args:
        model: with its weights.
        name: of :data:`RUNTIMES`, or ``auto``: the fastest that this machine has; a line in the
            log tells when that is not the first choice.
        options: see :class:`RuntimeOptions`.

    Raises:
        CommandError: there is no runtime of that name.
        RuntimeUnavailable: this machine, or this model, cannot be run by it.
    """
    if name != AUTO:
        chosen = runtime_class(name)
        reason = chosen.unavailable(model.config, options)
        if reason:
            raise RuntimeUnavailable(f"runtime {name}: {reason}")
        return chosen(model, options)
    passed_over: list[str] = []
    lacking: list[str] = []
    for candidate in AUTO_ORDER[options.device.type]:
        chosen = runtime_class(candidate)
        if options.precision and options.precision not in chosen.precisions:
            lacking.append(f"runtime {candidate} has {' and '.join(chosen.precisions)}")
            continue
        reason = chosen.unavailable(model.config, options)
        if reason is None:
            if passed_over:
                logger.warning("%s; runtime %s is used", "; ".join(passed_over), candidate)
            return chosen(model, options)
        passed_over.append(f"runtime {candidate}: {reason}")
    raise RuntimeUnavailable(
        f"no runtime for a {model.config.backbone} with precision {options.precision!r} on "
        f"{options.device}: {listed(lacking + passed_over)}"
    )
