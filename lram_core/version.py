"""Which release of this package runs."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version

PACKAGE = "lram_ros"


def version() -> str:
    """Return the version of this package; ``unknown`` where it is not installed as one."""
    try:
        return installed_version(PACKAGE)
    except PackageNotFoundError:
        return "unknown"
