"""Several embodiments in one bundle: a contract each, and the choice between them.

An embodiment is a robot with its gripper, controller and layout of observations and actions: what
one task suite or one robot's recordings are of. It is called by its contract's ``suite``. A bundle
of one embodiment holds that contract alone, as format version 1; one of several holds a list of
such contracts, as version 2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from lram_core.contract import FORMAT_VERSION as CONTRACT_VERSION
from lram_core.contract import PolicyContract
from lram_core.errors import ContractError, listed

FORMAT_VERSION = 2

Contracts = Mapping[str, PolicyContract]
Choice = str | Callable[[Contracts], str]
"""Name of an embodiment, empty for the only one there is; or what picks a name."""


def by_name(contracts: Iterable[PolicyContract], where: str) -> dict[str, PolicyContract]:
    """Return embodiment name → contract, in order. Raises ContractError where two share a name."""
    found: dict[str, PolicyContract] = {}
    for contract in contracts:
        if contract.suite in found:
            raise ContractError(f"{where}: embodiment {contract.suite} is given more than once")
        found[contract.suite] = contract
    return found


def to_dict(contracts: Contracts) -> dict[str, Any]:
    """Return what ``policy.yaml`` holds, as plain data."""
    every = [contract.to_dict() for contract in contracts.values()]
    if len(every) == 1:
        return every[0]
    return {"format_version": FORMAT_VERSION, "embodiments": every}


def from_dict(data: object, where: str = "policy contract") -> dict[str, PolicyContract]:
    """Return embodiment name → contract. Raises ContractError naming the key that is wrong."""
    if not isinstance(data, Mapping) or data.get("format_version") == CONTRACT_VERSION:
        return by_name([PolicyContract.from_dict(data, where)], where)
    if data.get("format_version") != FORMAT_VERSION:
        raise ContractError(
            f"{where}: format_version {data.get('format_version')!r} found, this release reads "
            f"{CONTRACT_VERSION} and {FORMAT_VERSION}"
        )
    if set(data) != {"format_version", "embodiments"}:
        raise ContractError(
            f"{where}: found the keys {listed(data)}; expected format_version, embodiments"
        )
    every = data["embodiments"]
    if not isinstance(every, list) or not every:
        raise ContractError(
            f"{where}.embodiments: expected a non-empty list of contracts, found {every!r}"
        )
    return by_name(
        (
            PolicyContract.from_dict(each, f"{where}.embodiments[{number}]")
            for number, each in enumerate(every)
        ),
        where,
    )


def choose(contracts: Contracts, wanted: Choice, where: str) -> str:
    """Return the name of an embodiment.

    Args:
        contracts: those there are.
        wanted: see :data:`Choice`.
        where: the bundle, for messages.

    Raises:
        ContractError: there is none of that name, or no name was given and there are several;
            the message lists those there are.
    """
    name = wanted(contracts) if callable(wanted) else wanted
    if not name and len(contracts) == 1:
        return next(iter(contracts))
    if not name:
        raise ContractError(
            f"{where}: holds several embodiments, and none was chosen; available: "
            f"{listed(contracts)}"
        )
    if name not in contracts:
        raise ContractError(f"{where}: no embodiment '{name}'; available: {listed(contracts)}")
    return name


def of_suite(suite: str) -> Choice:
    """Choose the embodiment of a task suite; the only one there is, of whatever suite."""
    return lambda contracts: suite if len(contracts) > 1 else ""
