"""Exporting a bundle, and the proof that the file does what the bundle does."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from lram_core.bench.inputs import RandomWalk
from lram_core.bench.parity import Parity, compare
from lram_core.bundle import load_bundle, load_contracts, weights_checksum
from lram_core.data.files import atomic_path
from lram_core.errors import CommandError, ParityError, RuntimeUnavailable, listed
from lram_core.onnx_export.names import FILES, describe, file_name
from lram_core.runtimes.base import RuntimeOptions
from lram_core.runtimes.eager import TorchRuntime
from lram_core.runtimes.onnx import OnnxRuntime


def export_bundle(
    bundle: Path | str,
    precision: str = "fp32",
    out: Path | None = None,
    ticks: int = 100,
    embodiment: str = "",
) -> tuple[Path, Parity]:
    """Write a bundle's tick as an ONNX file, once it was compared with PyTorch.

    Args:
        bundle: the folder.
        precision: of the weights, one of :data:`lram_core.onnx_export.names.FILES`.
        out: the file, of a name that ends in ``.onnx``; by default in the bundle, under the name
            its precision has there.
        ticks: random ticks to compare.
        embodiment: which of the bundle's; may be empty where there is one only.

    Returns:
        The file, and how far it is from PyTorch with float32 weights.

    Raises:
        BundleError, ContractError: the bundle is unusable, or has no such embodiment.
        CommandError: there is no such precision, or no such file can be.
        ParityError: it chooses other actions than PyTorch; no file was written.
        RuntimeUnavailable: onnx or onnxruntime is not installed.
    """
    if precision not in FILES:
        raise CommandError(f"unknown precision {precision!r}; available: {listed(FILES)}")
    if out is not None:
        _check_place(out)
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise RuntimeUnavailable(f"export to ONNX needs {listed(missing)} (pip install …)")
    from lram_core.onnx_export.tick import build

    model, contract = load_bundle(bundle, embodiment=embodiment)
    one_of_several = contract.suite if len(load_contracts(bundle)) > 1 else ""
    path = out or Path(bundle) / file_name(precision, one_of_several)
    made = build(model, precision, describe(model, precision, weights_checksum(bundle), contract))
    with atomic_path(path) as temporary:
        temporary.write_bytes(made.SerializeToString())
        runtime = OnnxRuntime(model, RuntimeOptions(precision=precision), temporary)
        parity = compare(TorchRuntime(model), runtime, RandomWalk(model).take(ticks))
        if not parity.passed:
            raise ParityError(f"{path}: not written, too far from PyTorch: {parity}")
    return path, parity


def _check_place(out: Path) -> None:
    """Raises CommandError where ``out`` would overwrite something else, or has no folder."""
    if out.suffix != ".onnx" or out.is_dir():
        raise CommandError(f"{out}: expected a file whose name ends in .onnx")
    if not out.parent.is_dir():
        raise CommandError(f"{out}: there is no folder {out.parent}")
