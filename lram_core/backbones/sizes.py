"""Named sizes of every backbone.

``16M`` to ``206M`` are those of the paper's table 6; ``d64``, ``d128`` and ``d256`` are small ones
that train on a workstation. Suffixes of an xLSTM's size, alone or both:

- ``-7:1``: sLSTM blocks at the paper's places (one in eight, or somewhat less; in ``d64``, ``d128``
  and ``d256``, which have two to six blocks, one).
- ``-h128``: mLSTM heads of size 128 instead of four heads. The state, ``4 * d_model**2 /
  num_heads`` values a block and the tick's largest traffic after the weights, shrinks to a half
  (16M), a third (48M), a quarter (110M), a fifth (206M); d256 has such heads anyway.
"""

from __future__ import annotations

from typing import Any

Options = dict[str, Any]

_WIDTH_AND_LAYERS = {
    "d64": (64, 2),
    "d128": (128, 4),
    "d256": (256, 6),
    "16M": (512, 8),
    "48M": (768, 12),
    "110M": (1024, 16),
    "206M": (1280, 20),
}
# Where the paper's [7:1] models have their sLSTM blocks; the small ones have one, as 16M has.
_SLSTM_AT = {
    **{name: [1] for name in ("d64", "d128", "d256", "16M")},
    "48M": [1, 3],
    "110M": [1, 3],
    "206M": [1, 3, 5],
}
_TRANSFORMER_HEADS = {
    **dict.fromkeys(("d64", "d128", "d256"), 4),
    "16M": 8,
    "48M": 12,
    "110M": 16,
    "206M": 20,
}
_STATE_HEAD = 128


def _xlstm() -> dict[str, Options]:
    sizes: dict[str, Options] = {}
    for name, (width, layers) in _WIDTH_AND_LAYERS.items():
        sizes[name] = {"d_model": width, "num_layers": layers, "num_heads": 4}
    for name, places in _SLSTM_AT.items():
        sizes[f"{name}-7:1"] = {**sizes[name], "slstm_at": places}
    for name in [name for name in sizes if name.endswith(("M", "M-7:1"))]:
        heads = 2 * sizes[name]["d_model"] // _STATE_HEAD
        sizes[f"{name}-h128"] = {**sizes[name], "num_heads": heads}
    return sizes


SIZES: dict[str, dict[str, Options]] = {
    "xlstm": _xlstm(),
    "mamba": {
        name: {"d_model": width, "num_layers": layers}
        for name, (width, layers) in _WIDTH_AND_LAYERS.items()
    },
    # Half the layers: a Transformer's block has 12 d^2 weights, the others' about 6 d^2.
    "transformer": {
        name: {"d_model": width, "num_layers": layers // 2, "num_heads": _TRANSFORMER_HEADS[name]}
        for name, (width, layers) in _WIDTH_AND_LAYERS.items()
    },
}
