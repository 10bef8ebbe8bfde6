"""Which tiles of the mLSTM's training kernels are the fastest on this GPU?

    python -m benchmarks.kernel_tiles --jobs 14 --write

Every kernel is timed with the tiles it has and with each of the others below, on the shapes of a
206M model's training step, and must give what it gave before. What is printed last goes into the
constants of the same names in ``lram_core/kernels``: by hand, or by ``--write``. Most of the time
goes into compiling; ``--jobs`` processes do it ahead, into Triton's cache. ``--kernels`` leaves out
all others.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lram_core.kernels import mlstm_inputs, mlstm_output, mlstm_window

Outputs = list[Tensor]
TOLERANCE = 5e-3
"""Relative; sums are taken in another order, of bfloat16 values."""


class Kernel(NamedTuple):
    """Where the tiles of a kernel are, what to change of them, and what runs it."""

    module: ModuleType
    constant: str
    changes: list[dict[str, Any]]
    run: Callable[[], Outputs]

    @property
    def name(self) -> str:
        return f"{self.module.__name__.rpartition('.')[2]}.{self.constant}"


def changes(**choices: list[Any]) -> list[dict[str, Any]]:
    """Return all combinations of some fields' values."""
    return [dict(zip(choices, values, strict=True)) for values in product(*choices.values())]


def kernels(
    batch: int, length: int, inner: int, heads: int, device: str, kind: torch.dtype
) -> list[Kernel]:
    """Return the kernels on random inputs (B, S, inner)."""
    torch.manual_seed(0)
    u = torch.randn(batch, length, 2 * inner, device=device, dtype=kind)
    segment = (torch.rand(batch, length, device=device) < 0.01).long().cumsum(-1)

    def weight(*shape: int) -> Tensor:
        return 0.3 * torch.randn(shape, device=device)

    taps, bias = weight(4, inner), weight(inner)
    mixes, reach = weight(3, inner // 4, 4, 4), weight(2, 2 * heads, inner)
    norm, skip = weight(inner), weight(inner)
    shared = (u, None, segment, taps, bias, mixes, reach)
    conv, q, k, v, gates, link = mlstm_inputs._inputs(*shared, heads)
    dq, dk, dv = (torch.randn_like(q) for _ in range(3))
    for x in (dq, dk, dv):
        x[:, :, length:] = 0
    dconv, dgates, du = torch.randn_like(conv), torch.randn_like(gates), torch.zeros_like(u)
    entered, forget = (x.contiguous() for x in gates.chunk(2, dim=1))
    decay = torch.cumsum(F.logsigmoid(forget), -1)
    log_inter = decay.masked_fill((segment > 0).unsqueeze(1), float("-inf"))
    window = (q, k, v, decay, entered, log_inter, None, segment)
    kept = mlstm_window._window(*window)

    def into_inputs() -> Outputs:
        sums = mlstm_inputs._backward(du, dconv, dq, dk, dv, dgates, *shared, conv)
        return [*sums, du[..., :inner]]

    def into_window() -> Outputs:  # the last one is not written where the memory was empty
        return list(mlstm_window._gradient(dq, torch.zeros_like(kept[1]), *window, *kept[2:]))[:-1]

    def into_output() -> Outputs:  # the first half of the last one is not written
        return list(mlstm_output._backward(dconv, q, norm, skip, conv, u))[:3]

    sides, regs = {"rows": [64, 128], "channels": [32, 64]}, [None, 128, 168]
    tiles = changes(**sides, warps=[4, 8], stages=[1, 2], registers=regs)
    once = changes(**sides, warps=[2, 4, 8], registers=[96, *regs])
    sums = changes(rows=[32, 64], channels=[32, 64], warps=[2, 4], stages=[1, 2], registers=regs)
    flat = changes(rows=[4, 8, 16, 32], warps=[1, 2, 4, 8])
    # One, two and four rows of a head of 640.
    heads_of = changes(values=[640, 1280, 2560], warps=[1, 2, 4], registers=regs)
    summed = [x | {"programs": n} for n in (1056, 1188, 2112, 4224) for x in heads_of]
    return [
        Kernel(
            mlstm_inputs, "FORWARD", tiles, lambda: list(mlstm_inputs._inputs(*shared, heads)[:5])
        ),
        Kernel(mlstm_inputs, "CONV_GRADIENT", once, into_inputs),
        Kernel(mlstm_inputs, "INPUTS_GRADIENT", sums, into_inputs),
        Kernel(mlstm_inputs, "WEIGHTS_GRADIENT", changes(warps=[4, 8], stages=[2, 3]), into_inputs),
        Kernel(mlstm_window, "FORWARD", flat, lambda: list(mlstm_window._window(*window))),
        Kernel(mlstm_window, "BACKWARD", flat, into_window),
        Kernel(
            mlstm_output,
            "FORWARD",
            heads_of,
            lambda: [mlstm_output._output(q, norm, skip, conv, u, link)],
        ),
        Kernel(mlstm_output, "BACKWARD", summed, into_output),
    ]


def attempts(
    kernel: Kernel, time: Callable[[Callable[[], Outputs]], float]
) -> Iterator[tuple[Any, float | str]]:
    """Yield tiles with the seconds they take, or what is wrong with them; the first are today's.

    ``time`` measures what runs a kernel. The constant is as it was afterwards.
    """
    today = getattr(kernel.module, kernel.constant)
    expected: Outputs = []
    try:
        for change in ({}, *kernel.changes):
            tiles = today._replace(**change)
            if change and tiles == today:
                continue
            setattr(kernel.module, kernel.constant, tiles)
            try:
                found = [x.float().clone() for x in kernel.run()]
                expected = expected or found
                wrong = max(
                    float((a - b).norm() / b.norm().clamp(min=1e-12))
                    for a, b in zip(found, expected, strict=True)
                )
                yield tiles, time(kernel.run) if wrong < TOLERANCE else f"{wrong:.1e} off"
            except Exception as error:  # more registers or shared memory than there are, say
                yield tiles, str(error).splitlines()[0] if str(error) else repr(error)
    finally:
        setattr(kernel.module, kernel.constant, today)


def compile_ahead(args: argparse.Namespace, share: int) -> None:
    """Run every ``args.jobs``-th of the tiles once, so that the compiled kernels are kept."""
    for kernel in shown(args):
        part = kernel._replace(changes=kernel.changes[share :: args.jobs])
        for _ in attempts(part, lambda run: 0.0):
            pass


def shown(args: argparse.Namespace) -> list[Kernel]:
    """Return the kernels on the sizes of the arguments, of the names that are in these."""
    every = kernels(args.batch, 150, 2560, args.heads, "cuda", torch.bfloat16)
    return chosen(every, args.kernels)


def chosen(every: list[Kernel], names: list[str] | None) -> list[Kernel]:
    """Return the kernels of some names, None for all.

    Raises:
        ValueError: There is none of a name.
    """
    known = [kernel.name for kernel in every]
    if unknown := sorted(set(names or []) - set(known)):
        raise ValueError(f"no kernel is called {', '.join(unknown)}; there are {', '.join(known)}")
    return [kernel for kernel in every if names is None or kernel.name in names]


def written(tiles: Any) -> str:
    """Return tiles as the sources have them, without what is at its default."""
    fields = tiles._asdict()
    told = [f"{n}={x!r}" for n, x in fields.items() if (n, x) not in tiles._field_defaults.items()]
    return f"Tiles({', '.join(told)})"


def write(file: Path, constant: str, tiles: Any) -> None:
    """Set a constant of a module's source to some tiles."""
    line = re.compile(rf"^{constant} = Tiles\(.*\)$", re.MULTILINE)
    text, count = line.subn(f"{constant} = {written(tiles)}", file.read_text())
    assert count == 1, (file, constant)
    file.write_text(text)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--jobs", type=int, default=1, help="processes that compile")
    parser.add_argument("--kernels", nargs="+", metavar="NAME", help="as printed; all by default")
    parser.add_argument("--write", action="store_true", help="set the constants to the fastest")
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        parser.error("the kernels run on a GPU, and none is here")
    from triton.testing import do_bench

    def time(run: Callable[[], Outputs]) -> float:
        return float(do_bench(run, warmup=3, rep=12, return_mode="median"))

    try:
        kept = shown(args)
    except ValueError as error:
        parser.error(str(error))
    if args.jobs > 1:
        with ProcessPoolExecutor(args.jobs, get_context("spawn")) as pool:
            list(pool.map(compile_ahead, [args] * args.jobs, range(args.jobs)))
    best = []
    for kernel in kept:
        found = []
        for tiles, result in attempts(kernel, time):
            print(kernel.name, tuple(tiles), result, flush=True)
            if isinstance(result, float):
                found.append((result, tiles))
        fastest, tiles = min(found, key=lambda pair: pair[0])
        best.append(f"{kernel.name} = {written(tiles)}: {fastest:.3f} ms, today {found[0][0]:.3f}")
        if args.write:
            write(Path(str(kernel.module.__file__)), kernel.constant, tiles)
    print("\n".join(best))


if __name__ == "__main__":
    main()
