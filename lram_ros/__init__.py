"""ROS 2 nodes around a policy bundle; the messages are ``lram_ros.msg`` and ``lram_ros.srv``."""

from __future__ import annotations

import ctypes as _ctypes
from pathlib import Path as _Path


def _preload_type_supports() -> None:
    """Load the type supports that a pip install keeps inside the package.

    The middleware looks them up by library name; what is loaded already is found without any
    environment variable. In a colcon install they lie on the library path and there is no _lib.
    """
    for library in sorted((_Path(__file__).parent / "_lib").glob("*.so")):
        try:
            _ctypes.CDLL(str(library), mode=_ctypes.RTLD_GLOBAL)
        except OSError as error:
            raise ImportError(
                f"lram_ros was built with messages, but the ROS 2 they were built against does not "
                f"load ({error}); install ROS 2 or rebuild the package"
            ) from error


_preload_type_supports()
