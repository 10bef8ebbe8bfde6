"""Roll-in: the policy that begins some episodes of a collection, before the expert takes over."""

from __future__ import annotations

from pathlib import Path

from lram_core.errors import ContractError, listed
from lram_sim.cameras import Cameras, with_cameras
from lram_sim.policy_source import PolicySource
from lram_sim.rollout import check_contract
from lram_sim.suite import Suite


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
