"""What an exported file is called and says about itself; needs neither onnx nor onnxruntime."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from lram_core.action_model import ActionModel
from lram_core.contract import PolicyContract
from lram_core.errors import BundleError
from lram_core.version import PACKAGE, version

logger = logging.getLogger(__name__)

FORMAT = "1"
FILES = {"fp32": "model.onnx", "int8": "model-int8.onnx"}  # precision → name in the bundle

# Backbone → module with a function ``write``.
WRITERS = {
    "xlstm": "lram_core.onnx_export.xlstm",
    "mamba": "lram_core.onnx_export.mamba",
    "transformer": "lram_core.onnx_export.transformer",
}

# Indices into the input ``tokens``: which of the tick's tokens to advance by, in order.
REWARD, STATE, RETURN_TO_GO = range(3)
FIRST_TICK = (STATE, RETURN_TO_GO)
TICK = (REWARD, STATE, RETURN_TO_GO)
REWARD_ALONE = (REWARD,)


def file_name(precision: str, embodiment: str = "") -> str:
    """Return the name in the bundle: ``model.onnx``; ``model.ARM.onnx`` where there are several
    embodiments, and ``ARM`` is the one."""
    name = FILES[precision]
    safe = embodiment.replace("/", "-")
    return name.replace(".onnx", f".{safe}.onnx") if safe else name


def state_name(name: str) -> str:
    """Return the input of a part of the state: ``0.C`` → ``state_0_C``."""
    return "state_" + name.replace(".", "_")


def output_name(name: str) -> str:
    """Return the output of a part of the state: ``0.C`` → ``state_0_C_out``."""
    return state_name(name) + "_out"


def describe(
    model: ActionModel, precision: str, checksum: str, contract: PolicyContract | None = None
) -> dict[str, str]:
    """Return the metadata of an exported file.

    Args:
        model: what is exported.
        precision: of the weights.
        checksum: SHA-256 of the ``model.safetensors`` that the weights are from.
        contract: of the bundle; the file then tells what to feed it and how to read it.
    """
    told = {
        "lram.format": FORMAT,
        "lram.version": version(),
        "lram.weights_sha256": checksum,
        "lram.precision": precision,
        "lram.backbone": model.config.backbone,
        "lram.tokens": "0 reward of the last action, 1 state, 2 return-to-go",
        "lram.state": json.dumps({state_name(name): name for name in model.init_state(1)}),
    }
    if contract is not None:
        told["lram.contract"] = json.dumps(contract.to_dict())
    return told


def check_origin(
    path: Path, found: Mapping[str, str], precision: str, checksum: str, embodiment: str = ""
) -> None:
    """Compare what a file says about itself with the bundle it lies in.

    A file of another version of this package is taken, with a warning, as long as its form is the
    same.

    Raises:
        BundleError: no file of ours, another form, another precision, other weights, or the model
            of another embodiment.
    """
    release = found.get("lram.version", "unknown")
    by = f"{PACKAGE} {release}"
    expected = {
        "lram.format": (FORMAT, "format"),
        "lram.precision": (precision, "precision"),
        "lram.weights_sha256": (checksum, "weights with the checksum"),
    }
    for key, (value, what) in expected.items():
        if found.get(key) != value:
            raise BundleError(
                f"{path}: exported by {by} with {what} {found.get(key, '(none)')[:12]}, expected "
                f"{value[:12]} ({PACKAGE} {version()}); export it again with 'lram export'"
            )
    contract = json.loads(found.get("lram.contract", "{}"))
    if embodiment and contract.get("suite", embodiment) != embodiment:
        raise BundleError(
            f"{path}: exported for the embodiment {contract['suite']}, expected {embodiment}; "
            "export it again with 'lram export'"
        )
    if release != version():
        logger.warning("%s: exported by %s, this is %s %s", path, by, PACKAGE, version())
