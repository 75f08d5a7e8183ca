"""SFCA, spatial-frequency cascaded attention: attention between channels, then a global convolution by FFT."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmmdl.models.bands import in_bands, over_channels, sum_over_bands
from cmmdl.models.norm import ChannelLayerNorm, at_least_float32, lowered, without_autocast

Q, K, V, U = range(4)
"""Numbers of the projections of SFCA's input: query, key, value, and what the frequency stage convolves."""


class SFCA(nn.Module):
    """Spatial-frequency cascaded attention.

    The spatial stage is Restormer's transposed attention: within each head every channel attends to the others, the
    similarities taken over all pixels. The frequency stage convolves a fourth projection ``u`` of the input with a
    key made from the first stage's result, circularly and over the whole image, as a product of spectra.

    Args:
        width: Channels in and out.
        heads: Attention heads; each takes ``width / heads`` neighbouring channels.
        frequency: Whether the frequency stage is there; without it the spatial stage's result is returned.

    Reference: CMMDL (Neural Networks 196:108450, 2025), SFCA; Zamir et al., Restormer (CVPR 2022), MDTA.
    """

    def __init__(self, width: int, heads: int, *, frequency: bool = True) -> None:
        super().__init__()
        self.width, self.heads, self.frequency = width, heads, frequency
        maps = 4 if frequency else 3
        self.temperature = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.qkvu = nn.Conv2d(width, maps * width, 1, bias=False)
        self.qkvu_conv = nn.Conv2d(maps * width, maps * width, 3, padding=1, groups=maps * width, bias=False)
        self.project = nn.Conv2d(width, width, 1, bias=False)
        if frequency:
            self.kv = nn.Conv2d(width, 2 * width, 1, bias=False)
            self.kv_conv = nn.Conv2d(2 * width, 2 * width, 3, padding=1, groups=2 * width, bias=False)
            self.norm = ChannelLayerNorm(width)
            self.project_frequency = nn.Conv2d(width, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        matrix = self.attention(*sum_over_bands(lambda x: (self._map(x, Q), self._map(x, K)), products, x, halo=1))
        s = in_bands(lambda x: mix_channels(self._map(x, V), matrix), x, halo=1)
        if not self.frequency:
            return s
        u = at_least_float32(in_bands(lambda x: self._map(x, U), x, halo=1, planar=True))
        key = at_least_float32(in_bands(lambda s: self._key_or_value(s, 0), s, halo=1, planar=True))
        r = over_channels(circular_convolution, u, key, into=u)
        del u, key
        return in_bands(self._join, s, r, halo=1)

    def _join(self, s: Tensor, r: Tensor) -> Tensor:
        """``s + 1x1(LN(r) v')``: both stages' results, the value ``v'`` made of the first's."""
        r = self.norm(r.contiguous(memory_format=torch.channels_last))
        return s + self.project_frequency(lowered(r) * self._key_or_value(s, 1))

    def attention(self, gram: Tensor, squares_q: Tensor, squares_k: Tensor) -> Tensor:
        """The attention maps with the output projection folded in.

        Args:
            gram: What `products` gives of all pixels, ``(B, width, width)``.
            squares_q: Likewise, ``(B, width)``.
            squares_k: Likewise, ``(B, width)``.

        Returns:
            One matrix ``(B, width, width)`` an image.
        """
        batch, width, heads = len(gram), self.width, self.heads
        norm_q, norm_k = (squares.clamp_min(1e-24).sqrt() for squares in (squares_q, squares_k))
        gram = gram / (norm_q.unsqueeze(2) * norm_k.unsqueeze(1))
        size = width // heads
        blocks = gram.view(batch, heads, size, heads, size).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
        maps = torch.softmax(blocks * self.temperature, dim=-1)
        out = self.project.weight.view(width, heads, 1, size).transpose(0, 1).transpose(1, 2)  # (heads, 1, width, size)
        return (out.squeeze(1) @ maps).permute(0, 2, 1, 3).reshape(batch, width, width)

    def _map(self, x: Tensor, n: int) -> Tensor:
        """One of the four projections of the input."""
        return projection(x, self.qkvu, self.qkvu_conv, n * self.width, (n + 1) * self.width)

    def _key_or_value(self, s: Tensor, n: int) -> Tensor:
        """One of the two projections of the spatial stage's result."""
        return projection(s, self.kv, self.kv_conv, n * self.width, (n + 1) * self.width)


def projection(x: Tensor, pointwise: nn.Conv2d, depthwise: nn.Conv2d, start: int, stop: int) -> Tensor:
    """Output channels ``start:stop`` of a 1x1 convolution followed by a depthwise 3x3 one.

    Taking the slice of the weights gives a dense map, where a slice of the result would be a strided view that every
    later operation pays for.
    """
    y = F.conv2d(x, pointwise.weight[start:stop])
    return F.conv2d(y, depthwise.weight[start:stop], padding=1, groups=stop - start)


def products(q: Tensor, k: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over all pixels of ``(B, C, H, W)``: each channel of ``q`` times each of ``k``, and the squares of both.

    Returns:
        ``(B, C, C)``, ``(B, C)`` and ``(B, C)``.
    """
    q, k = (at_least_float32(t).permute(0, 2, 3, 1).reshape(len(t), -1, t.shape[1]) for t in (q, k))
    with without_autocast(q):
        return at_least_float32(q.transpose(1, 2) @ k), q.square().sum(1), k.square().sum(1)


def mix_channels(x: Tensor, matrix: Tensor) -> Tensor:
    """A 1x1 convolution with a matrix of its own for each image: ``(B, C, H, W)`` and ``(B, C, C)``."""
    if x.shape[0] == 1:
        return F.conv2d(x, matrix[0, :, :, None, None])
    batch, width, height, breadth = x.shape
    y = x.permute(0, 2, 3, 1).reshape(batch, -1, width) @ matrix.transpose(1, 2)
    return y.view(batch, height, breadth, width).permute(0, 3, 1, 2)


class CircularConvolution(torch.autograd.Function):
    """``irfft2(rfft2(a) * rfft2(b))``, whose gradients are three more real transforms instead of complex ones."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        """Both ``(B, C, H, W)``, float32 or float64."""
        spectrum_a, spectrum_b = torch.fft.rfft2(a), torch.fft.rfft2(b)
        ctx.save_for_backward(spectrum_a, spectrum_b)
        return torch.fft.irfft2(spectrum_a * spectrum_b, s=a.shape[-2:])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """The gradient correlated with the other factor."""
        spectrum, size = torch.fft.rfft2(grad), grad.shape[-2:]
        a, b = ctx.saved_tensors
        return torch.fft.irfft2(spectrum * b.conj(), s=size), torch.fft.irfft2(spectrum * a.conj(), s=size)


def circular_convolution(a: Tensor, b: Tensor) -> Tensor:
    """Circular convolution of ``(B, C, H, W)`` with ``(B, C, H, W)``, channel by channel, over the whole image."""
    if torch.is_grad_enabled():
        return CircularConvolution.apply(a, b).contiguous(memory_format=torch.channels_last)
    return torch.fft.irfft2(torch.fft.rfft2(a).mul_(torch.fft.rfft2(b)), s=a.shape[-2:])
