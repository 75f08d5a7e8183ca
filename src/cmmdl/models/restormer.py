"""The Restormer block with SFCA in the place of its attention, and its gated feed-forward network."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmmdl.models.bands import in_bands
from cmmdl.models.norm import ChannelLayerNorm, lowered
from cmmdl.models.sfca import SFCA, projection


class GDFN(nn.Module):
    """Gated depthwise feed-forward network: ``1x1(gelu(a) * b)`` with ``a, b`` halves of ``dw3x3(1x1(x))``.

    Args:
        width: Channels in and out; the hidden halves have twice as many each.

    Reference: Zamir et al., Restormer (CVPR 2022), section 3.2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = 2 * width
        self.expand = nn.Conv2d(width, 2 * self.hidden, 1, bias=False)
        self.depthwise = nn.Conv2d(2 * self.hidden, 2 * self.hidden, 3, padding=1, groups=2 * self.hidden, bias=False)
        self.project = nn.Conv2d(self.hidden, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        gate = F.gelu(projection(x, self.expand, self.depthwise, 0, self.hidden))
        return self.project(gate * projection(x, self.expand, self.depthwise, self.hidden, 2 * self.hidden))


class RestormerBlock(nn.Module):
    """``x + SFCA(LN(x))``, then ``x + GDFN(LN(x))``.

    Args:
        width: Channels in and out.
        heads: Attention heads of SFCA.
        frequency: Whether SFCA has its frequency stage.
    """

    def __init__(self, width: int, heads: int, *, frequency: bool = True) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(width)
        self.sfca = SFCA(width, heads, frequency=frequency)
        self.norm2 = ChannelLayerNorm(width)
        self.gdfn = GDFN(width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        x = in_bands(torch.add, x, self.sfca(in_bands(lambda x: lowered(self.norm1(x)), x)))
        return in_bands(lambda x: x + self.gdfn(lowered(self.norm2(x))), x, halo=1)
