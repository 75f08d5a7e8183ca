"""HDFFB, heterogeneous-domain feature fusion block: joins what the spatial and the frequency blocks have learnt."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmmdl.models.bands import in_bands
from cmmdl.models.norm import conv_norm


class ChannelAttention(nn.Module):
    """``sigmoid(BN(1x1(relu(BN(1x1(mean of g))))))``: one weight a channel, from the image's means.

    Args:
        width: Channels in; half as many inside.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.squeeze_norm = nn.Conv2d(width, width // 2, 1), nn.BatchNorm2d(width // 2)
        self.excite, self.excite_norm = nn.Conv2d(width // 2, width, 1), nn.BatchNorm2d(width)

    def forward(self, g: Tensor) -> Tensor:
        """``(B, width, H, W)`` to weights ``(B, width, 1, 1)`` in (0, 1)."""
        mean = g.mean(dim=(2, 3), keepdim=True)
        hidden = F.relu(conv_norm([mean], self.squeeze, [self.squeeze_norm]))
        return torch.sigmoid(conv_norm([hidden], self.excite, [self.excite_norm]))


class DenseUnit(nn.Module):
    """One unit of the dense branch: a 3x3 convolution over all earlier maps, two batch norms in a row, ReLU.

    Args:
        maps: How many maps of ``width`` channels come in.
        width: Channels out.
    """

    def __init__(self, maps: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(maps * width, width, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps ``(B, width, H, W)`` to the next one of the same shape."""
        return F.relu(conv_norm(maps, self.conv, [self.norm1, self.norm2]), inplace=True)


class HDFFB(nn.Module):
    """Heterogeneous-domain feature fusion block.

    Frequency features of one modality meet the spatial features of the other; spatial attention weighs the pixels,
    channel attention the channels, and a dense branch refines the whole.

    Args:
        width: Channels in and out.
        attention: Whether the spatial and channel attention are there.
        units: Units of the dense branch.

    Reference: CMMDL (Neural Networks 196:108450, 2025), HDFFB.
    """

    def __init__(self, width: int, *, attention: bool = True, units: int = 4) -> None:
        super().__init__()
        self.cross_vis, self.cross_vis_norm = nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width)
        self.cross_ir, self.cross_ir_norm = nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width)
        self.reduce, self.reduce_norm = nn.Conv2d(2 * width, width, 1, bias=False), nn.BatchNorm2d(width)
        self.attention = attention
        if attention:
            self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)
            self.channel1, self.channel2 = ChannelAttention(width), ChannelAttention(width)
        self.dense = nn.ModuleList(DenseUnit(n + 1, width) for n in range(units))

    def cross(self, q_vis: Tensor, q_ir: Tensor, p_vis: Tensor, p_ir: Tensor) -> tuple[Tensor, Tensor]:
        """Frequency (``q``) features of each modality with spatial (``p``) ones of the other, ``(B, width, H, W)`` all.

        A step of its own, so that the caller can let go of the four maps before `forward` needs memory.
        """
        g1 = F.relu6(conv_norm([q_vis, p_ir], self.cross_vis, [self.cross_vis_norm]), inplace=True)
        g2 = F.relu6(conv_norm([p_vis, q_ir], self.cross_ir, [self.cross_ir_norm]), inplace=True)
        return g1, g2

    def forward(self, g1: Tensor, g2: Tensor) -> Tensor:
        """The two maps of `cross` to one, ``(B, width, H, W)`` all."""
        if not self.attention:
            return in_bands(lambda g1, g2: g1 + g2 + self.refine(g1, g2), g1, g2, halo=len(self.dense))
        weight = 1 + self.spatial_attention(g1, g2)
        g1, g2 = in_bands(lambda g1, g2, weight: (g1 * weight, g2 * weight), g1, g2, weight)
        scale1, scale2 = self.channel1(g1), self.channel2(g2)
        return in_bands(lambda g1, g2: g1 * scale1 + g2 * scale2 + self.refine(g1, g2), g1, g2, halo=len(self.dense))

    def refine(self, g1: Tensor, g2: Tensor) -> Tensor:
        """The dense branch: both maps to one, ``(B, width, H, W)`` all."""
        maps = [F.relu6(conv_norm([g1, g2], self.reduce, [self.reduce_norm]), inplace=True)]
        for unit in self.dense:
            maps.append(unit(maps))
        return maps[-1]

    def spatial_attention(self, f1: Tensor, f2: Tensor) -> Tensor:
        """One weight a pixel, ``(B, 1, H, W)`` in (0, 1), from the mean and the maximum of all channels."""
        return torch.sigmoid(self.spatial(in_bands(mean_and_peak, f1, f2)))


def mean_and_peak(f1: Tensor, f2: Tensor) -> Tensor:
    """Mean and maximum over the channels of both maps, ``(B, 2, H, W)``."""
    mean = (f1.mean(dim=1, keepdim=True) + f2.mean(dim=1, keepdim=True)) / 2
    peak = torch.maximum(f1.amax(dim=1, keepdim=True), f2.amax(dim=1, keepdim=True))
    return torch.cat([mean, peak], dim=1)
