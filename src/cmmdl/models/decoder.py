"""The decoder: from fused features to the fused luma."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmmdl.models.bands import in_bands
from cmmdl.models.norm import at_least_float32, without_autocast
from cmmdl.models.restormer import RestormerBlock


class Decoder(nn.Module):
    """A row of Restormer blocks, then two 3x3 convolutions and a sigmoid; nothing skips from the input to here.

    Args:
        width: Channels in.
        blocks: Restormer blocks.
        heads: Attention heads of each.
        frequency: Whether their SFCA has its frequency stage.
    """

    def __init__(self, width: int, blocks: int, heads: int, *, frequency: bool = True) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(RestormerBlock(width, heads, frequency=frequency) for _ in range(blocks)))
        self.reduce = nn.Conv2d(width, width // 2, 3, padding=1, bias=False)
        self.output = nn.Conv2d(width // 2, 1, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, width, H, W)`` to luma ``(B, 1, H, W)`` in (0, 1)."""
        return in_bands(self.draw, self.blocks(features), halo=2)

    def draw(self, x: Tensor) -> Tensor:
        """The last features ``(B, width, H, W)`` to luma."""
        hidden = F.leaky_relu(self.reduce(x), 0.01, inplace=True)
        with without_autocast(hidden):  # bfloat16 below 1 has steps of a whole grey level
            return torch.sigmoid(self.output(at_least_float32(hidden)))
