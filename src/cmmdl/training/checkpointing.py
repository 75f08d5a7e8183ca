"""Gradient checkpointing: Restormer blocks are computed again in the backward pass instead of being kept."""

from __future__ import annotations

from functools import cache

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cmmdl.models.cmmdl import RestormerBlock


def recompute_blocks(network: nn.Module) -> None:
    """Makes every Restormer block of a network keep its input only while it trains; results and names stay the same.

    Reference: Chen et al. Training deep nets with sublinear memory cost. arXiv 1604.06174, 2016.
    """
    for module in network.modules():
        if isinstance(module, RestormerBlock):
            module.__class__ = _recomputed(type(module))  # type: ignore[arg-type,assignment]


@cache
def _recomputed(block: type[nn.Module]) -> type[nn.Module]:
    """The class of a block that is computed again; a class, so that copies of the network have blocks of their own."""

    def forward(self: nn.Module, x: Tensor) -> Tensor:
        if not (self.training and x.requires_grad):
            return block.forward(self, x)
        return checkpoint(block.forward, self, x, use_reentrant=False, preserve_rng_state=False)

    return type(f"Recomputed{block.__name__}", (block,), {"forward": forward})
