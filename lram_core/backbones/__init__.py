"""Sequence models behind one interface, one file each.

A backbone offers ``forward(tokens, reset_mask, state)`` for training and prefill, ``step(tokens,
state)`` for control and ``init_state(batch)``; its state is a flat dict of tensors with static
shapes, in a fixed order. It is functional: state goes in and comes out, nothing is kept inside.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from torch import Tensor

from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
from lram_core.errors import BundleError, listed

State = dict[str, Tensor]
BackboneConfig = XLSTMConfig
Backbone = XLSTM

BACKBONES: dict[str, tuple[type[Backbone], type[BackboneConfig]]] = {"xlstm": (XLSTM, XLSTMConfig)}

# Sizes of the paper's table 6, and two small ones that train on a workstation. d128 and d256 use
# four heads of 64 and 128: the state grows with the head size.
SIZES: dict[str, dict[str, int]] = {
    "d128": {"d_model": 128, "num_layers": 4, "num_heads": 4},
    "d256": {"d_model": 256, "num_layers": 6, "num_heads": 4},
    "16M": {"d_model": 512, "num_layers": 8, "num_heads": 4},
    "48M": {"d_model": 768, "num_layers": 12, "num_heads": 4},
    "110M": {"d_model": 1024, "num_layers": 16, "num_heads": 4},
    "206M": {"d_model": 1280, "num_layers": 20, "num_heads": 4},
}


def make_config(name: str, options: dict[str, Any]) -> BackboneConfig:
    """Build a backbone's configuration. Raises BundleError on an unknown name or bad option."""
    if name not in BACKBONES:
        raise BundleError(f"unknown backbone {name!r}; available: {listed(BACKBONES)}")
    config_class = BACKBONES[name][1]
    known = [field.name for field in fields(config_class)]
    unknown = [key for key in options if key not in known]
    if unknown:
        raise BundleError(
            f"backbone {name}: unknown option {listed(unknown)}; available: {listed(known)}"
        )
    try:
        return config_class(**options)
    except (TypeError, ValueError) as error:
        raise BundleError(f"backbone {name}: {error}") from None
