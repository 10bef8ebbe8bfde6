"""Sequence models behind one interface, one file each.

A backbone offers ``forward(tokens, reset_mask, state)`` for training and prefill, ``step(tokens,
state)`` for control and ``init_state(batch)``; see :class:`lram_core.backbones.base.Backbone`.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import MISSING, fields
from typing import Any

from lram_core.backbones.base import Backbone, State
from lram_core.backbones.mamba import Mamba, MambaConfig
from lram_core.backbones.sizes import SIZES
from lram_core.backbones.transformer import Transformer, TransformerConfig
from lram_core.backbones.xlstm import XLSTM, XLSTMConfig
from lram_core.errors import BundleError, listed, nearest

__all__ = [
    "BACKBONES",
    "SIZES",
    "Backbone",
    "State",
    "is_whole_shape",
    "make_config",
    "size_options",
]

BackboneConfig = XLSTMConfig | MambaConfig | TransformerConfig

BACKBONES: dict[str, tuple[type[Backbone], type[BackboneConfig]]] = {
    "xlstm": (XLSTM, XLSTMConfig),
    "mamba": (Mamba, MambaConfig),
    "transformer": (Transformer, TransformerConfig),
}


def make_config(name: str, options: Mapping[str, Any]) -> BackboneConfig:
    """Build a backbone's configuration. Raises BundleError on an unknown name or bad option."""
    config_class = _known(name)[1]
    known = [field.name for field in fields(config_class)]
    unknown = [key for key in options if key not in known]
    if unknown:
        told = [f"{key}{nearest(str(key), known)}" for key in unknown]
        raise BundleError(
            f"backbone {name}: unknown option {listed(told)}; available: {listed(known)}"
        )
    try:
        return config_class(**options)
    except (TypeError, ValueError) as error:
        raise BundleError(f"backbone {name}: {error}") from None


def is_whole_shape(name: str, options: Mapping[str, Any]) -> bool:
    """Whether options say all that :func:`make_config` has no default for.

    Raises:
        BundleError: unknown backbone.
    """
    needed = [field.name for field in fields(_known(name)[1]) if field.default is MISSING]
    return set(needed) <= set(options)


def size_options(backbone: str, size: str, **overrides: Any) -> dict[str, Any]:
    """Return the options of a named size, to be given to :func:`make_config`.

    Args:
        backbone: name in :data:`BACKBONES`.
        size: name in ``SIZES[backbone]``, such as ``"16M"``; for an xLSTM also ``"16M-7:1"`` (with
            sLSTM blocks), ``"16M-h128"`` (head size 128), ``"16M-7:1-h128"`` (both).
        overrides: options that replace or join those of the size.

    Raises:
        BundleError: unknown backbone, size or option; the message lists those that exist.
    """
    _known(backbone)
    if size not in SIZES[backbone]:
        raise BundleError(
            f"backbone {backbone}: unknown size {size!r}; available: {listed(SIZES[backbone])}"
        )
    options = {**deepcopy(SIZES[backbone][size]), **overrides}
    make_config(backbone, options)
    return options


def _known(name: str) -> tuple[type[Backbone], type[BackboneConfig]]:
    if name not in BACKBONES:
        raise BundleError(
            f"unknown backbone {name!r}{nearest(name, BACKBONES)}; available: {listed(BACKBONES)}"
        )
    return BACKBONES[name]
