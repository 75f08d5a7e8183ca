"""The encoder that both modalities share."""

from __future__ import annotations

from torch import Tensor, nn

from cmmdl.models.bands import in_bands
from cmmdl.models.norm import without_autocast
from cmmdl.models.restormer import RestormerBlock


class Encoder(nn.Module):
    """A 3x3 convolution and a row of Restormer blocks, at full resolution.

    Args:
        width: Channels out.
        blocks: Restormer blocks.
        heads: Attention heads of each.
        frequency: Whether their SFCA has its frequency stage.
    """

    def __init__(self, width: int, blocks: int, heads: int, *, frequency: bool = True) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*(RestormerBlock(width, heads, frequency=frequency) for _ in range(blocks)))

    def forward(self, image: Tensor) -> Tensor:
        """Luma ``(B, 1, H, W)`` in [0, 1] to features ``(B, width, H, W)``."""
        with without_autocast(image):  # at inference the sum that runs through all blocks stays in single precision
            x = in_bands(self.embed, image, halo=1)
        for block in self.blocks:  # not self.blocks(x), which would hold on to its input
            x = block(x)
        return x
