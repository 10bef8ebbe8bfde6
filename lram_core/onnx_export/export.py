"""Exporting a bundle, and the proof that the file does what the bundle does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lram_core.bench.inputs import RandomWalk
from lram_core.bench.parity import Parity, compare
from lram_core.bundle import load_bundle, weights_checksum
from lram_core.data.files import atomic_path
from lram_core.errors import CommandError, RuntimeUnavailable, listed
from lram_core.onnx_export.names import FILES, describe
from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.eager import TorchRuntime
from lram_core.runtimes.onnx import OnnxRuntime


def export_bundle(
    bundle: Path | str, precision: str = "fp32", out: Path | None = None, ticks: int = 100
) -> tuple[Path, Parity]:
    """Write a bundle's tick as an ONNX file and compare it with PyTorch.

    Args:
        bundle: the folder.
        precision: of the weights, one of :data:`lram_core.onnx_export.names.FILES`.
        out: the file; by default in the bundle, under the name its precision has there.
        ticks: random ticks to compare.

    Returns:
        The file, and how far it is from PyTorch with float32 weights.

    Raises:
        BundleError, ContractError: the bundle is unusable.
        CommandError: there is no such precision.
        RuntimeUnavailable: onnx or onnxruntime is not installed.
    """
    if precision not in FILES:
        raise CommandError(f"unknown precision {precision!r}; available: {listed(FILES)}")
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeUnavailable(f"export to ONNX needs {listed(missing)} (pip install …)")
    from lram_core.onnx_export.tick import build

    model, contract = load_bundle(bundle)
    path = out or Path(bundle) / FILES[precision]
    made = build(model, precision, describe(model, precision, weights_checksum(bundle), contract))
    with atomic_path(path) as temporary:
        temporary.write_bytes(made.SerializeToString())
    runtime = OnnxRuntime(model, RuntimeOptions(precision=precision), path)
    return path, compare(TorchRuntime(model), runtime, RandomWalk(model).take(ticks))
