"""Roll-in: the policy that begins some episodes of a collection, before the expert takes over."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from lram_core.data.files import sha256
from lram_core.errors import BundleError, ContractError, listed
from lram_sim.cameras import Cameras, with_cameras
from lram_sim.rollout import check_contract
from lram_sim.suite import Suite
from lram_sim.workers import PolicySource, cached_policy

if TYPE_CHECKING:
    from lram_core.policy import Policy

_WEIGHTS = "model.safetensors"


@dataclass(frozen=True)
class RollIn:
    """The policy that begins some episodes, for a worker that may be on another machine.

    Attributes:
        bundle: its folder, absolute: a worker may run in another folder than the command.
        weights: SHA-256 of its weights, where the command runs.
    """

    bundle: str
    weights: str


def weights_of(bundle: Path) -> str:
    """Return the SHA-256 of a bundle's weights. Raises BundleError: there are none."""
    file = bundle / _WEIGHTS
    if not file.is_file():
        raise BundleError(f"{bundle}: no policy bundle here ({_WEIGHTS} is missing)")
    return sha256(file)


def load_roll_in(roll_in: RollIn, suite: str) -> Policy:
    """Load the policy on a worker. Raises BundleError: it is not here, or is another one."""
    _check_weights(roll_in)
    return cached_policy(PolicySource(roll_in.bundle, suite=suite))


@lru_cache(maxsize=1)
def _check_weights(roll_in: RollIn) -> None:
    file = Path(roll_in.bundle) / _WEIGHTS
    found = "none" if not file.is_file() else "another one"
    if found == "none" or sha256(file) != roll_in.weights:
        raise BundleError(
            f"{roll_in.bundle}: expected the bundle of the roll-in on the worker's machine "
            f"{platform.node()}, under the same path as where the command runs, found {found}"
        )


def check_sees_the_same(bundle: Path, suite: Suite, cameras: Cameras | None) -> None:
    """Raises ContractError unless the policy of a roll-in takes what the experts' episodes show."""
    contract = PolicySource(str(bundle), suite=suite.name).contract()
    seen = with_cameras(suite, cameras)
    check_contract(contract, seen)
    ours, theirs = (
        [field.name for field in fields if field.picture]
        for fields in (seen.observation_fields, contract.observation)
    )
    if ours != theirs:
        raise ContractError(
            f"{bundle}: a roll-in needs a policy with the pictures that are collected: it looks "
            f"at {listed(theirs)}, --camera gives {listed(ours)}"
        )
