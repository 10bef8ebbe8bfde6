"""The policy bundle: one folder that carries weights and contract from the trainer to the robot.

``policy.yaml`` (contract), ``config.json`` (shape of the network), ``model.safetensors``
(weights and input statistics) and ``README.md`` (model card). No pickle anywhere. ``lram export``
adds ``model*.onnx``; writing the bundle anew removes them, since they hold the old weights.

A bundle may serve several embodiments (:mod:`lram_core.embodiments`); the model of one is a plain
:class:`ActionModel`, chosen when it is loaded.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lram_core import embodiments
from lram_core.action_model import ActionModel, ModelConfig
from lram_core.contract import FORMAT_VERSION, PolicyContract, pictures
from lram_core.data.files import atomic_folder, atomic_path, check_replaceable, sha256
from lram_core.embodiments import Choice, Contracts
from lram_core.errors import BundleError, LramError, listed, one_line
from lram_core.joint_model import JointModel, model_from_dict
from lram_core.version import PACKAGE, version

CONTRACT, CONFIG, WEIGHTS, CARD = "policy.yaml", "config.json", "model.safetensors", "README.md"
FILES = (CONTRACT, CONFIG, WEIGHTS, CARD)


def save_bundle(
    path: Path | str,
    model: ActionModel,
    contract: PolicyContract,
    card: str,
    training: dict[str, Any] | None = None,
) -> None:
    """Write a bundle; the folder appears whole or not at all, replacing an older one.

    Args:
        path: the folder.
        model: network whose weights to keep.
        contract: what it demands and commands.
        card: text of the model card (Markdown).
        training: how it was trained, kept as is in ``config.json``.

    Raises:
        BundleError: the contract's sizes are not the network's, or a weight is not finite.
        CommandError: the folder holds something else than a bundle.
    """
    joint = JointModel({contract.suite: model})
    save_joint_bundle(path, joint, {contract.suite: contract}, card, training)


def save_joint_bundle(
    path: Path | str,
    model: JointModel,
    contracts: Contracts,
    card: str,
    training: dict[str, Any] | None = None,
) -> None:
    """Write a bundle of the embodiments of ``model``, with a contract each.

    Arguments and errors are those of :func:`save_bundle`.
    """
    for name, contract in contracts.items():
        _check_sizes(model.select(name).config, contract, str(path))
    check_replaceable(Path(path), CONTRACT, "policy bundle")
    check_finite(model.weights(), str(path))
    with atomic_folder(Path(path)) as folder:
        weights = {name: value.detach().cpu() for name, value in model.weights().items()}
        try:
            save_file({n: value.contiguous() for n, value in weights.items()}, folder / WEIGHTS)
        except SafetensorError as error:  # such as a full disk
            raise BundleError(f"{path}: not written ({one_line(error, 200)})") from None
        (folder / WEIGHTS).chmod(0o644)
        config = {
            "lram_version": version(),
            "model": model.to_dict(),
            "sha256": {WEIGHTS: sha256(folder / WEIGHTS)},
            "training": training or {},
        }
        (folder / CONFIG).write_text(json.dumps(config, indent=1) + "\n")
        (folder / CONTRACT).write_text(
            yaml.safe_dump(
                embodiments.to_dict(contracts), sort_keys=False, allow_unicode=True, width=100
            )
        )
        (folder / CARD).write_text(card)


def check_finite(weights: dict[str, torch.Tensor], where: str) -> None:
    """Raises BundleError naming the weights that are not finite."""
    bad = [name for name, value in weights.items() if not torch.isfinite(value).all()]
    if bad:
        raise BundleError(f"{where}: not finite: {listed(bad, 4)}")


def write_card(path: Path | str, card: str) -> None:
    """Replace the model card of a bundle."""
    with atomic_path(Path(path) / CARD) as temporary:
        temporary.write_text(card)


def weights_checksum(path: Path | str) -> str:
    """Return the SHA-256 of a bundle's weights as its ``config.json`` tells it.

    Raises:
        BundleError: no bundle there, or ``config.json`` is corrupt.
    """
    return _config(_folder(path))[1]


def load_contract(path: Path | str, embodiment: Choice = "") -> PolicyContract:
    """Read the contract of one embodiment alone.

    Args:
        path: the bundle's folder.
        embodiment: see :data:`lram_core.embodiments.Choice`.

    Raises:
        BundleError: no bundle there, or ``policy.yaml`` is not YAML.
        ContractError: a key of the contract is missing or wrong, or there is no such embodiment.
    """
    contracts = load_contracts(path)
    return contracts[embodiments.choose(contracts, embodiment, str(path))]


def load_contracts(path: Path | str) -> dict[str, PolicyContract]:
    """Read a bundle's contracts alone: embodiment name → contract.

    Raises:
        BundleError: no bundle there, or ``policy.yaml`` is not YAML.
        ContractError: a key of a contract is missing or wrong.
    """
    folder = _folder(path)
    try:
        data = yaml.safe_load((folder / CONTRACT).read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise BundleError(f"{folder / CONTRACT}: not valid YAML ({one_line(error, 200)})") from None
    where = str(folder / CONTRACT)
    known = (FORMAT_VERSION, embodiments.FORMAT_VERSION)
    if isinstance(data, dict) and data.get("format_version") not in known:
        where += _writer(folder)
    return embodiments.from_dict(data, where)


def load_bundle(
    path: Path | str, device: torch.device | str = "cpu", embodiment: Choice = ""
) -> tuple[ActionModel, PolicyContract]:
    """Read a bundle and check it end to end.

    Args:
        path: the bundle's folder.
        device: where to put the network.
        embodiment: see :data:`lram_core.embodiments.Choice`.

    Returns:
        The network of one embodiment in evaluation mode on ``device``, and its contract.

    Raises:
        BundleError: a file is missing, truncated or corrupt, or the files do not fit each other.
        ContractError: a contract is malformed, or there is no such embodiment.
    """
    model, contracts = load_joint_bundle(path)
    name = embodiments.choose(contracts, embodiment, str(path))
    return model.select(name).to(device).eval(), contracts[name]


def holds(path: Path, model: JointModel, contracts: Contracts) -> bool:
    """Whether a folder is a sound bundle of just these weights and contracts."""
    try:
        found, known = load_joint_bundle(path)
    except LramError:
        return False
    held, wanted = found.weights(), model.weights()
    return (
        known == dict(contracts)
        and held.keys() == wanted.keys()
        and all(torch.equal(held[name], value) for name, value in wanted.items())
    )


def load_joint_bundle(path: Path | str) -> tuple[JointModel, dict[str, PolicyContract]]:
    """Read a bundle with all of its embodiments, on the CPU.

    Raises:
        BundleError: a file is missing, truncated or corrupt, or the files do not fit each other.
        ContractError: a contract is malformed.
    """
    folder = _folder(path)
    contracts = load_contracts(folder)
    model_config, checksum, _ = _config(folder)
    model = model_from_dict(model_config, list(contracts), str(folder / CONFIG))
    for name, contract in contracts.items():
        _check_sizes(model.select(name).config, contract, str(folder))
    found = sha256(folder / WEIGHTS)
    if found != checksum:
        raise BundleError(
            f"{folder / WEIGHTS}: corrupt or truncated: checksum {found[:12]}… found, "
            f"{checksum[:12]}… expected ({(folder / WEIGHTS).stat().st_size} bytes)"
        )
    try:
        weights = load_file(folder / WEIGHTS)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleError(f"{folder / WEIGHTS}: unreadable ({one_line(error, 200)})") from None
    expected = model.weights()
    wrong = [
        f"{name} is {tuple(weights[name].shape) if name in weights else 'missing'}, "
        f"expected {tuple(value.shape)}"
        for name, value in expected.items()
        if name not in weights or weights[name].shape != value.shape
    ]
    wrong += [f"{name} is unknown" for name in weights if name not in expected]
    if wrong:
        raise BundleError(f"{folder / WEIGHTS}: does not fit {CONFIG}: {listed(wrong, 4)}")
    check_finite(weights, str(folder / WEIGHTS))
    model.load_weights(weights)
    return model.eval(), contracts


def _folder(path: Path | str) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such bundle (a folder with {listed(FILES)} is expected)")
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise BundleError(
            f"{folder}: incomplete bundle: {listed(missing)} missing; "
            f"found {listed(sorted(p.name for p in folder.iterdir()), 8)}"
        )
    for name in FILES:
        check_link(folder / name)
    return folder


def check_link(path: Path) -> None:
    """Look where a file of a bundle really lies.

    A bundle may come from anybody. A link to a file of the same name is what an install of links
    makes (``colcon build --symlink-install``); any other could have whatever file of this machine
    read in the bundle's place.

    Raises:
        BundleError: it is a link to a file of another name.
    """
    target = path.resolve()
    if target.name != path.name:
        raise BundleError(f"{path}: is a link that leads out of the bundle, to {target}")


def _config(folder: Path) -> tuple[Any, str, str]:
    """Read ``config.json``: the network's shape, the weights' checksum, the release that wrote it.

    The release is empty in bundles from before it was noted.
    """
    try:
        config = json.loads((folder / CONFIG).read_text())
        return config["model"], str(config["sha256"][WEIGHTS]), str(config.get("lram_version", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{folder / CONFIG}: corrupt ({type(error).__name__}: {error})") from None


def _writer(folder: Path) -> str:
    try:
        release = _config(folder)[2]
    except BundleError:
        release = ""
    return f" (written by {PACKAGE} {release})" if release else ""


def _check_sizes(shape: ModelConfig, contract: PolicyContract, where: str) -> None:
    for name in ("observation_size", "action_size"):
        if getattr(shape, name) != getattr(contract, name):
            raise BundleError(
                f"{where}: the network has {name} {getattr(shape, name)}, "
                f"the contract's fields add up to {getattr(contract, name)}"
            )
    if shape.pictures != pictures(contract.observation):
        raise BundleError(
            f"{where}: the network has the pictures {shape.pictures}, "
            f"the contract's fields {pictures(contract.observation)}"
        )
