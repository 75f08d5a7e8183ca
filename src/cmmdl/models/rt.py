"""CMMDL-RT, the small network for video: the paper's two domains in plain convolutions at a half of the resolution."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cmmdl.models.weightless import check_weightless, fuse_within

SHUFFLE = 2
"""Pixels of the picture along each side of a pixel of the spatial path."""

BLOCK = 8
"""Pixels along each side of a block of the frequency path; pictures are padded to a multiple of it."""


@dataclass(frozen=True)
class CMMDLRTConfig:
    """What the small network is made of. The weights ``cmmdl-rt`` have 24 channels, ``cmmdl-mif-rt`` 48.

    Attributes:
        width: Channels of the spatial path.
        depth: 3x3 convolutions between the first and the last of the spatial path; at least 2.
        spectrum: Channels of the frequency path; 0 leaves that path out.
        border: Pixels repeated around a picture while it is fused, in eval mode: see `cmmdl.models.weightless`.
            A multiple of 8, so that the blocks of the frequency path stay in place.
        black: Grey levels of 255 that count as black, in eval mode: see `cmmdl.models.weightless`.
    """

    width: int = 32
    depth: int = 4
    spectrum: int = 32
    border: int = 0
    black: int = 0

    def __post_init__(self) -> None:
        check_weightless(self.border, self.black, block=BLOCK)
        if self.width < 1 or self.depth < 2 or self.spectrum < 0:
            raise ValueError(
                "width must be at least 1, depth at least 2 and spectrum at least 0, not "
                f"{self.width}, {self.depth} and {self.spectrum}"
            )


class RepConv(nn.Module):
    """``3x3(x) + 1x1(x) + x``: three branches for training that are one 3x3 convolution.

    Args:
        inputs: Channels in.
        outputs: Channels out; the branch ``x`` is there if they are as many.
        dilation: Of the 3x3 convolution.

    Reference: Ding et al. RepVGG: making VGG-style convnets great again. CVPR 2021, section 3.3 (without its batch
    norms).
    """

    def __init__(self, inputs: int, outputs: int, dilation: int = 1) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)
        self.point = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """``(B, inputs, H, W)`` to ``(B, outputs, H, W)``."""
        conv = self.spatial
        return F.conv2d(x, self.kernel(), conv.bias, padding=conv.padding, dilation=conv.dilation)

    def kernel(self) -> Tensor:
        """The three branches as one kernel, ``(outputs, inputs, 3, 3)``."""
        outputs, inputs = self.point.weight.shape[:2]
        centre = self.point.weight
        if inputs == outputs:
            centre = centre + torch.eye(inputs, dtype=centre.dtype, device=centre.device)[..., None, None]
        return self.spatial.weight + F.pad(centre, (1, 1, 1, 1))

    @torch.no_grad()
    def merged(self) -> nn.Conv2d:
        """The one convolution that computes the same."""
        conv = copy.deepcopy(self.spatial)
        conv.weight.copy_(self.kernel())
        return conv


class BlockSpectrum(nn.Module):
    """How much of each frequency a block of 8x8 pixels holds: magnitudes of its cosine transform, times 2.

    A strided convolution with a fixed orthonormal basis (DCT-II); the first channel is the block's mean.
    """

    basis: Tensor

    def __init__(self) -> None:
        super().__init__()
        n = torch.arange(BLOCK, dtype=torch.float64)
        lines = torch.cos(math.pi / BLOCK * (n + 0.5) * n[:, None]) * math.sqrt(2 / BLOCK)
        lines[0] /= math.sqrt(2)
        basis = torch.einsum("ay,bx->abyx", lines, lines).reshape(-1, 1, BLOCK, BLOCK)
        basis[0] /= BLOCK * 2
        self.register_buffer("basis", 2 * basis.float(), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """``(B, 1, H, W)``, sides multiples of 8, to ``(B, 64, H / 8, W / 8)``, not below 0."""
        return F.conv2d(image, self.basis.to(image.dtype), stride=BLOCK).abs()


class FrequencyPath(nn.Module):
    """What the blocks' spectra of both pictures, and of their neighbours, say about how to fuse.

    Args:
        width: Channels inside.
        outputs: Channels out.
    """

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.spectrum = BlockSpectrum()
        self.embed = nn.Conv2d(2 * BLOCK**2, width, 1)
        self.near, self.far, self.farther = (RepConv(width, width, dilation) for dilation in (1, 2, 4))
        self.project = nn.Conv2d(width, outputs, 1)
        nn.init.zeros_(self.project.weight)
        assert self.project.bias is not None
        nn.init.zeros_(self.project.bias)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Both ``(B, 1, H, W)`` to ``(B, outputs, H / 8, W / 8)``."""
        x = F.relu(self.embed(torch.cat([self.spectrum(ir), self.spectrum(vis)], dim=1)))
        x = F.relu(self.near(x))
        x = F.relu(self.far(x))
        return self.project(F.relu(self.farther(x)))


class CMMDLRT(nn.Module):
    """The real-time sibling of `CMMDL`.

    The spatial path reads both pictures, folded 2x2 into channels, by a row of 3x3 convolutions. The frequency path
    reads the cosine spectra of 8x8 blocks; halfway it weighs the channels of the spatial path, place by place, and
    shifts them. The result is added to the mean of the sources.

    Its receptive field is finite (see `reach`), so tiles whose origins are multiples of 8 pixels and that overlap by
    twice that give exactly the whole picture's result.

    Args:
        config: What it is made of.
    """

    def __init__(self, config: CMMDLRTConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or CMMDLRTConfig()
        folded = SHUFFLE**2
        self.head = nn.Conv2d(2 * folded, c.width, 3, padding=1)
        self.early = nn.ModuleList(RepConv(c.width, c.width) for _ in range(c.depth // 2))
        self.frequency = FrequencyPath(c.spectrum, 2 * c.width) if c.spectrum else None
        self.late = nn.ModuleList(RepConv(c.width, c.width) for _ in range(c.depth - c.depth // 2))
        self.tail = nn.Conv2d(c.width, folded, 3, padding=1)
        nn.init.zeros_(self.tail.weight)
        assert self.tail.bias is not None
        nn.init.zeros_(self.tail.bias)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @property
    def bytes_per_pixel(self) -> float:
        """Peak memory for each pixel in float32, at most, on any runtime: 500 with 32 channels.

        Measured with 32 channels at 640x480: 380 with what is loaded; of the network alone at 1280x960 with 16, 32 and
        64 channels: 105, 201 and 361.
        """
        return 100 + 12.5 * max(self.config.width, self.config.spectrum)

    @property
    def reach(self) -> int:
        """Pixels in each direction that an output pixel can depend on, at most."""
        return BLOCK * (1 + 2 + 4) + 2 * BLOCK + SHUFFLE * (self.config.depth + 4)

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse luma.

        Args:
            ir: Infrared (or MRI), ``(B, 1, H, W)`` in [0, 1].
            vis: Luma of the visible image (or of CT, PET, SPECT); same shape and range.

        Returns:
            Fused luma ``(B, 1, H, W)``: in [0, 1] in eval mode; in training mode it may leave that range.
        """
        if self.training:
            return self._fuse(ir, vis)
        return fuse_within(self._fuse, ir, vis, border=self.config.border, black=self.config.black)

    def _fuse(self, ir: Tensor, vis: Tensor) -> Tensor:
        height, width = ir.shape[-2:]
        missing = (0, -width % BLOCK, 0, -height % BLOCK)
        ir, vis = (F.pad(x, missing, mode="replicate") for x in (ir, vis))
        x = F.pixel_unshuffle(torch.cat([ir, vis], dim=1), SHUFFLE)
        x = F.relu(self.head(x.contiguous(memory_format=torch.channels_last)))
        for conv in self.early:
            x = F.relu(conv(x))
        if self.frequency is not None:
            x = modulate(x, self.frequency(ir, vis))
        for conv in self.late:
            x = F.relu(conv(x))
        fused = (ir + vis) / 2 + F.pixel_shuffle(self.tail(x), SHUFFLE)
        fused = fused[..., :height, :width]
        return fused if self.training else fused.clamp(0, 1)

    def merged(self) -> CMMDLRT:
        """A copy for inference in which every convolution of three branches has become one."""
        model = copy.deepcopy(self).eval()
        for parent in list(model.modules()):
            for name, child in list(parent.named_children()):
                if isinstance(child, RepConv):
                    setattr(parent, name, child.merged())
        return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def modulate(x: Tensor, control: Tensor) -> Tensor:
    """``x * gain + shift``, both from the coarser ``control``, which has twice the channels; the gain is in (0, 2)."""
    gain, shift = control.chunk(2, dim=1)
    gain, shift = (
        F.interpolate(coarse, scale_factor=BLOCK / SHUFFLE, mode="bilinear")  # one by one: halves would be copied
        for coarse in (2 * torch.sigmoid(gain), shift)
    )
    return x * gain + shift
