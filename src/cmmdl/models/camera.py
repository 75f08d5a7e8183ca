"""What thermal cameras offer on their own screens, as models without weights."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EdgesFusion(nn.Module):
    """The infrared picture with the edges of the visible one on it, wherever they are the stronger ones.

    An edge is what differs from the local mean, a Gaussian of 2 pixels.

    Args:
        strength: How strong the visible edges are, from 0 (none) over 1 (as in the visible picture) to 3.
    """

    SIGMA, REACH = 2.0, 6

    def __init__(self, strength: float = 1.0) -> None:
        super().__init__()
        if not 0 <= strength <= 3:
            raise ValueError(f"a strength of {strength:g} is outside 0 to 3")
        self.strength = strength

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse ``(B, 1, H, W)`` floats in [0, 1]; the result has their shape and range."""
        own, other = ir - self._mean(ir), vis - self._mean(vis)
        added = torch.where(other.abs() > own.abs(), other - own, torch.zeros_like(own))
        return (ir + self.strength * added).clamp(0, 1)

    def _mean(self, picture: Tensor) -> Tensor:
        """The local mean, across and down; the border goes on beyond the picture."""
        steps = torch.arange(-self.REACH, self.REACH + 1, dtype=picture.dtype, device=picture.device)
        weights = torch.exp(-(steps**2) / (2 * self.SIGMA**2))
        weights = weights / weights.sum()
        for shape, pad in (((1, 1, 1, -1), (self.REACH,) * 2 + (0, 0)), ((1, 1, -1, 1), (0, 0) + (self.REACH,) * 2)):
            picture = F.conv2d(F.pad(picture, pad, mode="replicate"), weights.reshape(shape))
        return picture


class BlendFusion(nn.Module):
    """A fixed share of the infrared picture, the rest of the visible one.

    Args:
        share: Of the infrared picture, from 0 to 1.
    """

    def __init__(self, share: float = 0.5) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"a share of {share:g} is outside 0 to 1")
        self.share = share

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse ``(B, 1, H, W)`` floats in [0, 1]; the result has their shape and range."""
        return vis + self.share * (ir - vis)
