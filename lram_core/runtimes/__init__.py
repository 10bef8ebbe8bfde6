"""Runtimes behind one interface, one file each, and the choice between them."""

from __future__ import annotations

import functools
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
# A fixed order: fastest first, as measured in docs/benchmarks.md.
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
        name: of :data:`RUNTIMES`, or ``auto``: the first of :data:`AUTO_ORDER` that can be had; a
            line in the log tells when that is not the first choice.
        options: see :class:`RuntimeOptions`.

    Raises:
        CommandError: there is no runtime of that name, or none has such a precision.
        RuntimeUnavailable: this machine, or this model, cannot be run by it.
    """
    if name != AUTO:
        return _made(model, runtime_class(name), options)
    passed_over: list[str] = []
    lacking: list[str] = []
    for candidate in AUTO_ORDER[options.device.type]:
        chosen = runtime_class(candidate)
        if options.precision and options.precision not in chosen.precisions:
            lacking.append(f"runtime {candidate} has {' and '.join(chosen.precisions)}")
            continue
        try:
            runtime = _made(model, chosen, options)
        except RuntimeUnavailable as error:
            passed_over.append(str(error))
            continue
        if passed_over:
            _warn_once(f"{'; '.join(passed_over)}; runtime {candidate} is used")
        return runtime
    known = dict.fromkeys(p for each in RUNTIMES for p in runtime_class(each).precisions)
    if options.precision and options.precision not in known:
        raise CommandError(f"unknown precision {options.precision!r}; available: {listed(known)}")
    wanted = f" with precision {options.precision}" if options.precision else ""
    raise RuntimeUnavailable(
        f"no runtime{wanted} for the backbone {model.config.backbone} on {options.device}: "
        f"{listed(lacking + passed_over)}"
    )


def _made(model: ActionModel, chosen: type[Runtime], options: RuntimeOptions) -> Runtime:
    """Raises RuntimeUnavailable; of two reasons, that there is no such precision."""
    chosen.choose_precision(options)
    reason = chosen.unavailable(model.config, options)
    if reason:
        raise RuntimeUnavailable(f"runtime {chosen.name}: {reason}")
    return chosen(model, options)


@functools.cache
def _warn_once(line: str) -> None:
    """Policies are made again and again in one process; why a runtime is not used is said once."""
    logger.warning(line)
