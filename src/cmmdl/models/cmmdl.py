"""The network of the paper, from the first convolution to the sigmoid.

Feature maps are ``(B, width, H, W)`` at the full resolution of the pictures, channels-last in memory. Parameters have
the names of the weights files. This is the code of training, of GPUs and of exports; inference on a CPU computes the
same in bands of rows, by `cmmdl.models.cmmdl_cpu`.

Reference: CMMDL: Cross-modal multi-domain learning for image fusion. Neural Networks 196:108450, 2025.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmmdl.models import cmmdl_cpu
from cmmdl.models.fourier import EPS, Fourier
from cmmdl.models.layers import (
    ChannelLayerNorm,
    Depthwise,
    LeakyReLU,
    Pointwise,
    at_least_float32,
    conv_norm,
    lowered,
    mean_and_peak,
    mix_channels,
    products,
    projection,
    reflect_border,
    relu6,
    without_autocast,
)
from cmmdl.models.weightless import check_weightless, fuse_within

Coupling = Literal["released", "invertible"]


@dataclass(frozen=True)
class CMMDLConfig:
    """What the network is made of. The defaults are the released network.

    Attributes:
        width: Channels of every feature map; even, and a multiple of ``heads``.
        blocks: Restormer blocks in the encoder, and as many in the decoder.
        heads: Attention heads.
        coupling: ``released`` as in the authors' program, or ``invertible`` as in the paper.
        sfca_frequency: Whether SFCA has its frequency stage.
        sdlb: Whether the spatial block is there; without it the encoder's features go on unchanged.
        fdlb: Whether the frequency block is there; likewise.
        hdffb_attention: Whether the fusion block has its spatial and channel attention.
        border: Pixels repeated around a picture while it is fused, in eval mode: see `cmmdl.models.weightless`.
        black: Grey levels of 255 that count as black, in eval mode: see `cmmdl.models.weightless`.
    """

    width: int = 64
    blocks: int = 4
    heads: int = 8
    coupling: Coupling = "released"
    sfca_frequency: bool = True
    sdlb: bool = True
    fdlb: bool = True
    hdffb_attention: bool = True
    border: int = 0
    black: int = 0

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.heads < 1:
            raise ValueError(f"blocks and heads must be at least 1, not {self.blocks} and {self.heads}")
        if self.width < 2 or self.width % 2 or self.width % self.heads:
            raise ValueError(f"width must be even and a multiple of heads={self.heads}, not {self.width}")
        check_weightless(self.border, self.black)
        if self.coupling not in ("released", "invertible"):
            raise ValueError(f"coupling must be 'released' or 'invertible', not {self.coupling!r}")


class CMMDL(nn.Module):
    """Cross-modal multi-domain learning network for image fusion.

    One encoder reads both modalities; a spatial and a frequency block learn side by side; a fusion block joins them and
    the decoder draws the fused luma. Nothing is down-sampled, and any height and width from 1 pixel is accepted.
    """

    def __init__(self, config: CMMDLConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or CMMDLConfig()
        self.encoder = Encoder(c)
        self.sdlb_vis: nn.Module = SDLB(c.width, c.coupling) if c.sdlb else nn.Identity()
        self.sdlb_ir: nn.Module = SDLB(c.width, c.coupling) if c.sdlb else nn.Identity()
        self.fdlb = FDLB(c.width) if c.fdlb else None
        self.hdffb = HDFFB(c.width, attention=c.hdffb_attention)
        self.decoder = Decoder(c)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse luma.

        Args:
            ir: Infrared (or MRI), ``(B, 1, H, W)`` in [0, 1].
            vis: Luma of the visible image (or of CT, PET, SPECT); same shape and range.

        Returns:
            Fused luma ``(B, 1, H, W)`` in (0, 1).
        """
        if self.training:
            return self._fuse(ir, vis)
        return fuse_within(self._fuse, ir, vis, border=self.config.border, black=self.config.black)

    def _fuse(self, ir: Tensor, vis: Tensor) -> Tensor:
        if not self.training and cmmdl_cpu.worthwhile(ir):
            return cmmdl_cpu.fuse(self, ir, vis)
        f_vis, f_ir = self.encoder(vis), self.encoder(ir)
        q_vis, q_ir = self.fdlb(f_vis, f_ir) if self.fdlb is not None else (f_vis, f_ir)
        p_vis, p_ir = self.sdlb_vis(f_vis), self.sdlb_ir(f_ir)
        return self.decoder(self.hdffb(q_vis, q_ir, p_vis, p_ir))


class Encoder(nn.Module):
    """A 3x3 convolution and a row of Restormer blocks; both modalities share it."""

    def __init__(self, c: CMMDLConfig) -> None:
        super().__init__()
        self.embed = nn.Conv2d(1, c.width, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(*(RestormerBlock(c.width, c.heads, c.sfca_frequency) for _ in range(c.blocks)))

    def forward(self, image: Tensor) -> Tensor:
        """Luma ``(B, 1, H, W)`` in [0, 1] to features ``(B, width, H, W)``."""
        with without_autocast(image):  # at inference the sum that runs through all blocks stays in single precision
            x = self.embed(image).contiguous(memory_format=torch.channels_last)
        return self.blocks(x)


class Decoder(nn.Module):
    """A row of Restormer blocks, two 3x3 convolutions and a sigmoid; nothing skips from the input to here."""

    def __init__(self, c: CMMDLConfig) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(RestormerBlock(c.width, c.heads, c.sfca_frequency) for _ in range(c.blocks)))
        self.reduce = nn.Conv2d(c.width, c.width // 2, 3, padding=1, bias=False)
        self.output = nn.Conv2d(c.width // 2, 1, 3, padding=1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """``(B, width, H, W)`` to luma ``(B, 1, H, W)`` in (0, 1)."""
        return self.draw(self.blocks(features))

    def draw(self, x: Tensor) -> Tensor:
        """The last features ``(B, width, H, W)`` to luma."""
        hidden = F.leaky_relu(self.reduce(x), 0.01, inplace=True)
        with without_autocast(hidden):  # bfloat16 below 1 has steps of a whole grey level
            return torch.sigmoid(self.output(at_least_float32(hidden)))


class RestormerBlock(nn.Module):
    """``x + SFCA(LN(x))``, then ``x + GDFN(LN(x))``: a Restormer block with SFCA in the place of its attention."""

    def __init__(self, width: int, heads: int, frequency: bool) -> None:
        super().__init__()
        self.norm1 = ChannelLayerNorm(width)
        self.sfca = SFCA(width, heads, frequency=frequency)
        self.norm2 = ChannelLayerNorm(width)
        self.gdfn = GDFN(width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        x = x + self.sfca(lowered(self.norm1(x)))
        return x + self.gdfn(lowered(self.norm2(x)))


class GDFN(nn.Module):
    """Gated depthwise feed-forward network: ``1x1(gelu(a) * b)`` with ``a, b`` halves of ``dw3x3(1x1(x))``.

    Reference: Zamir et al., Restormer (CVPR 2022), section 3.2.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.hidden = 2 * width
        self.expand = Pointwise(width, 2 * self.hidden)
        self.depthwise = Depthwise(2 * self.hidden)
        self.project = Pointwise(self.hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        gate = F.gelu(projection(x, self.expand, self.depthwise, 0, self.hidden))
        return self.project(gate * projection(x, self.expand, self.depthwise, self.hidden, 2 * self.hidden))


class SFCA(nn.Module):
    """Spatial-frequency cascaded attention.

    The spatial stage is Restormer's transposed attention: within each head every channel attends to the others, the
    similarities taken over all pixels. The frequency stage convolves a fourth projection ``u`` of the input with a
    key made from the first stage's result, circularly and over the whole image, as a product of spectra.

    Reference: CMMDL, SFCA; Zamir et al., Restormer (CVPR 2022), section 3.1.
    """

    def __init__(self, width: int, heads: int, *, frequency: bool = True) -> None:
        super().__init__()
        self.width, self.heads, self.frequency = width, heads, frequency
        maps = 4 if frequency else 3
        self.temperature = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.qkvu, self.qkvu_conv = Pointwise(width, maps * width), Depthwise(maps * width)
        self.project = Pointwise(width, width)
        self.fourier = Fourier()
        if frequency:
            self.kv, self.kv_conv = Pointwise(width, 2 * width), Depthwise(2 * width)
            self.norm = ChannelLayerNorm(width)
            self.project_frequency = Pointwise(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        q, k, v, *u = (self.part(x, self.qkvu, self.qkvu_conv, n) for n in range(4 if self.frequency else 3))
        s = mix_channels(v, self.attention(*products(q, k)))
        if not self.frequency:
            return s
        key, value = (self.part(s, self.kv, self.kv_conv, n) for n in range(2))
        r = self.norm(self.fourier.convolve(at_least_float32(u[0]), at_least_float32(key)))
        return s + self.project_frequency(lowered(r) * value)

    def part(self, x: Tensor, pointwise: Pointwise, depthwise: Depthwise, n: int) -> Tensor:
        """One of the projections that two convolutions hold side by side."""
        return projection(x, pointwise, depthwise, n * self.width, (n + 1) * self.width)

    def attention(self, gram: Tensor, squares_q: Tensor, squares_k: Tensor) -> Tensor:
        """What `products` gives of all pixels to a matrix ``(B, width, width)``: attention, then the projection."""
        batch, width, heads = gram.shape[0], self.width, self.heads
        norm_q, norm_k = (squares.clamp_min(1e-24).sqrt() for squares in (squares_q, squares_k))
        gram = gram / (norm_q.unsqueeze(2) * norm_k.unsqueeze(1))
        size = width // heads
        blocks = gram.view(batch, heads, size, heads, size).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2)
        maps = torch.softmax(blocks * self.temperature, dim=-1)
        out = self.project.weight.view(width, heads, 1, size).transpose(0, 1).transpose(1, 2)  # (heads, 1, width, size)
        return (out.squeeze(1) @ maps).permute(0, 2, 1, 3).reshape(batch, width, width)


class SDLB(nn.Module):
    """Spatial-domain learning block: three coupling steps on the two halves of one modality's features.

    With the ``invertible`` coupling the halves change places between the steps.

    Reference: CMMDL, SDLB; the affine coupling is that of Dinh et al., Density estimation using Real NVP (ICLR 2017).
    """

    def __init__(self, width: int, coupling: Coupling = "released", steps: int = 3) -> None:
        super().__init__()
        self.coupling = coupling
        self.steps = nn.ModuleList(CouplingStep(width // 2, coupling) for _ in range(steps))

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        z1, z2 = (half.contiguous(memory_format=torch.channels_last) for half in x.chunk(2, dim=1))
        for n, step in enumerate(self.steps):
            z1, z2 = step(z2, z1) if self.swaps(n) else step(z1, z2)
        return torch.cat([z1, z2], dim=1)

    def inverse(self, y: Tensor) -> Tensor:
        """The input ``(B, width, H, W)`` that ``forward`` maps to ``y``.

        Raises:
            ValueError: With the released coupling, which has no inverse in general.
        """
        if self.coupling == "released":
            raise ValueError("the released coupling has no inverse; build the network with coupling='invertible'")
        y1, y2 = y.chunk(2, dim=1)
        for n, step in reversed(list(enumerate(self.steps))):
            assert isinstance(step, CouplingStep)
            y1, y2 = step.inverse(y1, y2)
            if self.swaps(n):
                y1, y2 = y2, y1
        return torch.cat([y1, y2], dim=1)

    def swaps(self, n: int) -> bool:
        """Whether the halves change places before step ``n``."""
        return self.coupling == "invertible" and n > 0


class CouplingStep(nn.Module):
    """One step on halves ``(z1, z2)``: ``y1 = z1 + phi(.)``, ``y2 = z2 * exp(0.8 (2 sigmoid(rho(y1)) - 1)) + eta(y1)``.

    ``released`` computes ``phi(z1)``, as the authors' program does, which no inverse undoes in general; ``invertible``
    computes ``phi(z2)``, the affine coupling that the paper describes.
    """

    def __init__(self, width: int, coupling: Coupling) -> None:
        super().__init__()
        self.coupling = coupling
        self.phi, self.rho, self.eta = SubNetwork(width), SubNetwork(width), SubNetwork(width)

    def forward(self, z1: Tensor, z2: Tensor) -> tuple[Tensor, Tensor]:
        """Halves ``(B, width, H, W)`` to halves of the same shape."""
        y1 = z1 + self.phi(z1 if self.coupling == "released" else z2)
        return y1, z2 * self.log_scale(y1).exp() + self.eta(y1)

    def inverse(self, y1: Tensor, y2: Tensor) -> tuple[Tensor, Tensor]:
        """The halves that ``forward`` maps to ``(y1, y2)``; for the ``invertible`` coupling only."""
        z2 = (y2 - self.eta(y1)) * (-self.log_scale(y1)).exp()
        return y1 - self.phi(z2), z2

    def log_scale(self, y1: Tensor) -> Tensor:
        """The logarithm of the scale, within (-0.8, 0.8)."""
        return 0.8 * (2 * torch.sigmoid(self.rho(y1)) - 1)


class SubNetwork(nn.Module):
    """``x + 1x1(relu6(dw3x3(relu6(1x1(x)))))``, the depthwise convolution over a reflected border."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.expand = Pointwise(width, 2 * width)
        self.depthwise = Depthwise(2 * width, padding=0)
        self.project = Pointwise(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, width, H, W)`` to the same shape."""
        y = relu6(self.expand(x))
        with without_autocast(y):  # which would widen the map for its border
            y = reflect_border(y)
        return x + self.project(relu6(self.depthwise(y)))


class FDLB(nn.Module):
    """Frequency-domain learning block.

    Each modality's amplitude is learnt on its own and joined with two phases: one learnt from both modalities and one
    of its own. The two inverse transforms are added by magnitude.

    Reference: CMMDL, FDLB.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pre_vis, self.pre_ir = Pointwise(width, width, bias=True), Pointwise(width, width, bias=True)
        self.shared_phase = spectrum_mlp(2 * width, width)
        self.amplitude_vis, self.amplitude_ir = spectrum_mlp(width, width), spectrum_mlp(width, width)
        self.phase_vis, self.phase_ir = spectrum_mlp(width, width), spectrum_mlp(width, width)
        self.post_vis = nn.Conv2d(width, width, 3, padding=1)
        self.post_ir = nn.Conv2d(width, width, 3, padding=1)
        self.fourier = Fourier()

    def forward(self, vis: Tensor, ir: Tensor) -> tuple[Tensor, Tensor]:
        """Features ``(B, width, H, W)`` of both modalities to learnt ones, visible first."""
        size = (vis.shape[-2], vis.shape[-1])
        with without_autocast(vis):
            amplitude_vis, phase_vis = self.fourier.polar(self.pre_vis(at_least_float32(vis)) + EPS)
            amplitude_ir, phase_ir = self.fourier.polar(self.pre_ir(at_least_float32(ir)) + EPS)
            shared = self.shared_phase(torch.cat([phase_vis, phase_ir], dim=1))
            amplitude_vis, amplitude_ir = self.amplitude_vis(amplitude_vis), self.amplitude_ir(amplitude_ir)
            phase_vis, phase_ir = self.phase_vis(phase_vis), self.phase_ir(phase_ir)
            q_vis = self.post_vis(self.synthesis(amplitude_vis, phase_vis, shared, size))
            q_ir = self.post_ir(self.synthesis(amplitude_ir, phase_ir, shared, size))
            return q_vis, q_ir

    def synthesis(self, amplitude: Tensor, own_phase: Tensor, shared_phase: Tensor, size: tuple[int, int]) -> Tensor:
        """``|inverse(a, shared)| + |inverse(a, own)|``: ``(B, C, H, W)`` from half spectra."""
        shared, own = (self.fourier.picture(amplitude, phase, size) for phase in (shared_phase, own_phase))
        return shared.abs() + own.abs()


def spectrum_mlp(channels: int, width: int) -> nn.Sequential:
    """``1x1 -> LeakyReLU(0.1) -> 1x1`` with biases, on amplitudes or phases."""
    first, second = Pointwise(channels, width, bias=True), Pointwise(width, width, bias=True)
    return nn.Sequential(first, LeakyReLU(), second)


class HDFFB(nn.Module):
    """Heterogeneous-domain feature fusion block.

    Frequency features of one modality meet the spatial features of the other; spatial attention weighs the pixels,
    channel attention the channels, and a dense branch refines the whole.

    Reference: CMMDL, HDFFB.
    """

    def __init__(self, width: int, *, attention: bool = True, units: int = 4) -> None:
        super().__init__()
        self.cross_vis, self.cross_vis_norm = Pointwise(2 * width, width), nn.BatchNorm2d(width)
        self.cross_ir, self.cross_ir_norm = Pointwise(2 * width, width), nn.BatchNorm2d(width)
        self.reduce, self.reduce_norm = Pointwise(2 * width, width), nn.BatchNorm2d(width)
        self.attention = attention
        if attention:
            self.spatial = nn.Conv2d(2, 1, 7, padding=3, bias=False)
            self.channel1, self.channel2 = ChannelAttention(width), ChannelAttention(width)
        self.dense = nn.ModuleList(DenseUnit(n + 1, width) for n in range(units))

    def forward(self, q_vis: Tensor, q_ir: Tensor, p_vis: Tensor, p_ir: Tensor) -> Tensor:
        """Frequency (``q``) and spatial (``p``) features of both modalities to one map, ``(B, width, H, W)`` all."""
        g1, g2 = self.cross(q_vis, q_ir, p_vis, p_ir)
        if not self.attention:
            return g1 + g2 + self.refine(g1, g2)
        weight = 1 + self.spatial_attention(mean_and_peak(g1, g2))
        g1, g2 = g1 * weight, g2 * weight
        scale1, scale2 = (a(g.mean((2, 3), keepdim=True)) for a, g in ((self.channel1, g1), (self.channel2, g2)))
        return g1 * scale1 + g2 * scale2 + self.refine(g1, g2)

    def cross(self, q_vis: Tensor, q_ir: Tensor, p_vis: Tensor, p_ir: Tensor) -> tuple[Tensor, Tensor]:
        """The features of each modality in one domain with those of the other modality in the other domain."""
        g1 = relu6(conv_norm([q_vis, p_ir], self.cross_vis, [self.cross_vis_norm]))
        g2 = relu6(conv_norm([p_vis, q_ir], self.cross_ir, [self.cross_ir_norm]))
        return g1, g2

    def spatial_attention(self, summary: Tensor) -> Tensor:
        """What `mean_and_peak` gives to one weight a pixel, ``(B, 1, H, W)`` in (0, 1)."""
        return torch.sigmoid(self.spatial(summary))

    def refine(self, g1: Tensor, g2: Tensor) -> Tensor:
        """The dense branch: both maps to one, ``(B, width, H, W)`` all."""
        maps = [relu6(conv_norm([g1, g2], self.reduce, [self.reduce_norm]))]
        for unit in self.dense:
            maps.append(unit(maps))
        return maps[-1]


class ChannelAttention(nn.Module):
    """``sigmoid(BN(1x1(relu(BN(1x1(means))))))``: a weight in (0, 1) for each channel, from the image's means."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.squeeze, self.squeeze_norm = Pointwise(width, width // 2, bias=True), nn.BatchNorm2d(width // 2)
        self.excite, self.excite_norm = Pointwise(width // 2, width, bias=True), nn.BatchNorm2d(width)

    def forward(self, means: Tensor) -> Tensor:
        """``(B, width, 1, 1)`` to the same shape."""
        hidden = F.relu(conv_norm([means], self.squeeze, [self.squeeze_norm]))
        return torch.sigmoid(conv_norm([hidden], self.excite, [self.excite_norm]))


class DenseUnit(nn.Module):
    """One unit of the dense branch: a 3x3 convolution over all earlier maps, two batch norms in a row, ReLU."""

    def __init__(self, maps: int, width: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(maps * width, width, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(width), nn.BatchNorm2d(width)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Maps ``(B, width, H, W)`` to the next one of the same shape."""
        return F.relu(conv_norm(maps, self.conv, [self.norm1, self.norm2]), inplace=True)
