"""The interface of a backbone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

State = dict[str, Tensor]


class Backbone(nn.Module):
    """A sequence model with a state of static shapes.

    It is functional: state goes in and comes out, nothing is kept inside. The state is a flat
    dict in a fixed order, batch first in every tensor, so the same code runs eager, compiled,
    captured as a CUDA graph and exported with the state as inputs and outputs.
    """

    config: Any

    def init_state(self, batch: int, device: torch.device | str = "cpu") -> State:
        """Return the state before the first token of an episode, for ``batch`` sequences."""
        raise NotImplementedError

    def forward(
        self,
        tokens: Tensor,
        reset_mask: Tensor | None = None,
        state: State | None = None,
        want_state: bool = True,
        reads: slice | None = None,
    ) -> tuple[Tensor, State]:
        """Run S tokens from ``state``: training and prefill.

        Args:
            tokens: (B, S, d_model).
            reset_mask: (B, S) bool, True on the first token of an episode: nothing before it is
                seen by it or by later tokens.
            state: state before the first token; None for the initial one.
            want_state: False where nothing follows, as in training on windows that stand alone:
                the state is not computed.
            reads: the R tokens whose hidden state is wanted, as in ``tokens[:, reads]``; None for
                all S. Of the others the last block computes only what later tokens, or the state,
                need.

        Returns:
            Hidden (B, R, d_model) and the state after the last token, empty if not wanted.
        """
        raise NotImplementedError

    def step(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """Advance by the T tokens of a control tick in one pass over the weights.

        tokens (B, T, d_model) → hidden (B, T, d_model) and the new state.
        """
        return self.forward(tokens, None, state)

    def step_(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """As :meth:`step`, but the caller gives ``state`` away: its tensors may be overwritten.

        For inference: gradients cannot pass. Only a backbone whose tick writes a small part of a
        large state has a use for it.
        """
        return self.step(tokens, state)


def positive(config: object, *names: str) -> None:
    """Raises ValueError naming the first of the fields that is no positive integer."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{name}: expected a positive integer, found {value!r}")
