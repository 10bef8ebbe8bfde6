"""What a loop that runs for days may not do: keep more and more objects."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable


def grown(run: Callable[[int, int], None], settled: int, ticks: int) -> int:
    """Bytes of Python objects that ``run(start, ticks)`` leaves behind, once it has settled.

    ``settled`` is the tick up to which it has run; a tenth of ``ticks`` goes before the count.
    """
    tracemalloc.start()
    try:
        run(settled, ticks // 10)
        before = tracemalloc.get_traced_memory()[0]
        run(settled + ticks // 10, ticks)
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
