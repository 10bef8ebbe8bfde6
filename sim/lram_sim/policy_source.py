"""Which policy a work item runs: told to a worker, which loads it once."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lram_core.contract import PolicyContract
from lram_core.data.files import sha256
from lram_core.embodiments import of_suite
from lram_core.errors import BundleError

if TYPE_CHECKING:
    from lram_core.policy import Policy

_WEIGHTS = "model.safetensors"  # lram_core.bundle has it too, and brings torch along


@dataclass(frozen=True)
class PolicySource:
    """A bundle and how to run it; the fields are those of ``Policy.load``.

    Attributes:
        bundle: its folder; absolute where a worker may run in another one than the command.
        suite: whose embodiment to take, where the bundle has several.
        weights: SHA-256 of the weights where the command runs, which those of a worker's machine
            must have; empty to take what is there.
    """

    bundle: str
    device: str = "cpu"
    runtime: str = "auto"
    precision: str = ""
    suite: str = ""
    weights: str = ""

    def contract(self) -> PolicyContract:
        """Return the policy's contract without loading its weights. Raises BundleError."""
        from lram_core.bundle import load_contract

        return load_contract(self.bundle, of_suite(self.suite))

    def load(self) -> Policy:
        """Return the policy, on one thread.

        Raises:
            BundleError: it has other weights than ``weights``, or none.
            LramError: as ``Policy.load`` does.
        """
        from lram_core.policy import Policy

        if self.weights:
            self._check_weights()
        return Policy.load(
            self.bundle,
            self.device,
            self.runtime,
            self.precision,
            embodiment=of_suite(self.suite),
        )

    def _check_weights(self) -> None:
        file = Path(self.bundle) / _WEIGHTS
        found = "none" if not file.is_file() else "another one"
        if found == "none" or sha256(file) != self.weights:
            raise BundleError(
                f"{self.bundle}: expected the policy bundle on the worker's machine "
                f"{platform.node()}, under the same path as where the command runs, found {found}"
            )


def weights_of(bundle: Path) -> str:
    """Return the SHA-256 of a bundle's weights. Raises BundleError: there are none."""
    file = bundle / _WEIGHTS
    if not file.is_file():
        raise BundleError(f"{bundle}: no policy bundle here ({_WEIGHTS} is missing)")
    return sha256(file)


@lru_cache(maxsize=1)
def cached_policy(source: PolicySource) -> Policy:
    """Load a policy once a process. Raises as ``PolicySource.load``."""
    return source.load()
