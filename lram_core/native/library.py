"""The shared library ``liblram_native``: found, checked and described to Python."""

from __future__ import annotations

import ctypes
import functools
import mmap
import os
from ctypes import c_char_p, c_float, c_int, c_int32, c_int64, c_void_p
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lram_core.errors import CommandError, RuntimeUnavailable, listed

# Both sides count this up when lram_native.h changes: an old library is refused, not misread.
VERSION = 3
PATH = Path(__file__).with_name("liblram_native.so")
# Names an instruction set instead of the best that this CPU has; for tests and comparisons.
ISA_VARIABLE = "LRAM_NATIVE_ISA"
ISAS = ("portable", "avx2", "avx512")


class Shape(ctypes.Structure):
    """``lram_shape`` of lram_native.h."""

    _fields_ = (
        ("observation_size", c_int32),
        ("action_size", c_int32),
        ("bins", c_int32),
        ("d_model", c_int32),
        ("num_layers", c_int32),
        ("num_heads", c_int32),
        ("slstm_heads", c_int32),
        ("ffn_size", c_int32),
        ("dt_rank", c_int32),
        ("threads", c_int32),
        ("second_cpu", c_int32),
        ("blocks", ctypes.POINTER(c_int32)),
    )


_SIGNATURES = {
    "lram_isa": (c_char_p, [c_char_p]),
    "lram_create": (c_void_p, [ctypes.POINTER(Shape), ctypes.POINTER(c_void_p), c_char_p]),
    "lram_destroy": (None, [c_void_p]),
    "lram_traffic": (None, [c_void_p, c_void_p]),
    "lram_state_size": (c_int64, [c_void_p]),
    "lram_get_state": (None, [c_void_p, c_void_p]),
    "lram_set_state": (None, [c_void_p, c_void_p]),
    "lram_reset": (None, [c_void_p]),
    "lram_tokenise": (None, [c_void_p, c_void_p, c_float]),
    "lram_tokenise_with_reward": (None, [c_void_p, c_void_p, c_float, c_float]),
    "lram_step": (None, [c_void_p, c_void_p, c_void_p]),
    "lram_advance_reward": (None, [c_void_p, c_float]),
    "lram_stream_read": (c_float, [c_void_p, c_int64]),
}


@functools.cache
def _load(path: Path) -> ctypes.CDLL | str:
    """Return the library, or why there is none."""
    if not path.is_file():
        return "its library is not built (reinstall with a C compiler: make env)"
    try:
        library = ctypes.CDLL(str(path))
        library.lram_version.restype = c_int
        found = library.lram_version()
    except (OSError, AttributeError) as error:
        return f"its library does not load: {error}"
    if found != VERSION:
        return f"its library is of version {found}, expected {VERSION} (reinstall: make env)"
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def problem() -> str | None:
    """Return why there is no library on this machine, None where there is one.

    Raises:
        CommandError: ``LRAM_NATIVE_ISA`` names no instruction set.
    """
    library = _load(PATH)
    if isinstance(library, str):
        return library
    wanted = os.environ.get(ISA_VARIABLE, "")
    if wanted and wanted not in ISAS:
        raise CommandError(f"{ISA_VARIABLE} is {wanted!r}; expected one of {listed(ISAS)}")
    if library.lram_isa(wanted.encode()) is None:
        return f"{ISA_VARIABLE} is {wanted!r}; available here: {listed(available_isas())}"
    return None


def load() -> ctypes.CDLL:
    """Return the library. Raises RuntimeUnavailable where there is none."""
    library = _load(PATH)
    if isinstance(library, str):
        raise RuntimeUnavailable(f"runtime native: {library}")
    return library


def available_isas() -> list[str]:
    """Instruction sets that this CPU and this build have."""
    library = load()
    return [name for name in ISAS if library.lram_isa(name.encode()) is not None]


def chosen_isa() -> str:
    """Name of the instruction set in use: the best, or what ``LRAM_NATIVE_ISA`` names."""
    found: bytes | None = load().lram_isa(os.environ.get(ISA_VARIABLE, "").encode())
    if found is None:
        raise RuntimeUnavailable(f"runtime native: {problem()}")
    return found.decode()


def stream_read(data: npt.NDArray[np.generic]) -> float:
    """Sum an array's bytes as float32 as fast as one thread can read them.

    What it takes is the memory-streaming limit of a tick that moves as many bytes. A rest of less
    than 512 bytes is left out.

    Raises:
        ValueError: the array is not contiguous, or does not begin on 64 bytes as those of
            :func:`stream_buffer` do.
    """
    address = data.ctypes.data
    if address % 64 or not data.flags["C_CONTIGUOUS"]:
        raise ValueError("stream_read: expected a contiguous array aligned to 64 bytes")
    return float(load().lram_stream_read(address, data.nbytes))


def stream_buffer(size: int) -> npt.NDArray[np.float32]:
    """Return ``size`` bytes for :func:`stream_read`, on huge pages where the system has them."""
    # A whole huge page to spare, to start on one. Private: shared memory has no huge pages.
    page = 2 << 20
    memory = mmap.mmap(-1, size + page, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        memory.madvise(mmap.MADV_HUGEPAGE)
    whole = np.frombuffer(memory, np.uint8)
    start = -whole.ctypes.data % page
    buffer = whole[start : start + size // 4 * 4].view(np.float32)
    buffer[:] = 1.0
    return buffer
