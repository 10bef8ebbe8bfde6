"""Weights of a PyTorch model in another precision; everything around them stays in float32."""

from __future__ import annotations

import copy

from torch import Tensor, nn
from torch.nn import functional as F

from lram_core.action_model import ActionModel
from lram_core.quantise import projection_names

PRECISIONS = ("fp32", "bf16")
"""The default first."""


class BFloat16Linear(nn.Module):
    """A linear map with weights in bfloat16; float32 in and out."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.weight = nn.Parameter(linear.weight.detach().bfloat16(), requires_grad=False)
        self.bias = linear.bias

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x.bfloat16(), self.weight).float()
        return y if self.bias is None else y + self.bias


def prepared(model: ActionModel, precision: str) -> ActionModel:
    """Return a copy of a model with large weight matrices in a precision of PRECISIONS."""
    changed = copy.deepcopy(model)
    if precision == "bf16":
        round_weights(changed)
    return changed


def round_weights(model: ActionModel) -> None:
    """Put the large weight matrices into bfloat16: the head's and the projections.

    Norms, gates and the recurrence stay in float32: in bfloat16 the mLSTM's stabiliser rounds, and
    the error grows with the episode.
    """
    for name in [*projection_names(model), "head.weight"]:
        parent, _, attribute = name.removesuffix(".weight").rpartition(".")
        owner = model.get_submodule(parent)
        setattr(owner, attribute, BFloat16Linear(getattr(owner, attribute)))
