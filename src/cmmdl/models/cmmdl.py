"""The CMMDL network, assembled from its blocks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cmmdl.models.bands import in_bands
from cmmdl.models.border import with_border
from cmmdl.models.decoder import Decoder
from cmmdl.models.encoder import Encoder
from cmmdl.models.fdlb import FDLB
from cmmdl.models.hdffb import HDFFB
from cmmdl.models.sdlb import HALO, SDLB, Coupling


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
        border: Pixels repeated around a picture while it is fused, in eval mode: see `cmmdl.models.border`.
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

    def __post_init__(self) -> None:
        if self.blocks < 1 or self.heads < 1:
            raise ValueError(f"blocks and heads must be at least 1, not {self.blocks} and {self.heads}")
        if self.width < 2 or self.width % 2 or self.width % self.heads:
            raise ValueError(f"width must be even and a multiple of heads={self.heads}, not {self.width}")
        if self.border < 0:
            raise ValueError(f"border must be at least 0, not {self.border}")
        if self.coupling not in ("released", "invertible"):
            raise ValueError(f"coupling must be 'released' or 'invertible', not {self.coupling!r}")


class CMMDL(nn.Module):
    """Cross-modal multi-domain learning network for image fusion.

    One encoder reads both modalities; a spatial and a frequency block learn side by side; a fusion block joins them and
    the decoder draws the fused luma. Nothing is down-sampled, and any height and width from 1 pixel is accepted.

    Args:
        config: What it is made of.

    Reference: CMMDL: Cross-modal multi-domain learning for image fusion. Neural Networks 196:108450, 2025.
    """

    def __init__(self, config: CMMDLConfig | None = None) -> None:
        super().__init__()
        self.config = c = config or CMMDLConfig()
        self.encoder = Encoder(c.width, c.blocks, c.heads, frequency=c.sfca_frequency)
        self.sdlb_vis: nn.Module = SDLB(c.width, c.coupling) if c.sdlb else nn.Identity()
        self.sdlb_ir: nn.Module = SDLB(c.width, c.coupling) if c.sdlb else nn.Identity()
        self.fdlb = FDLB(c.width) if c.fdlb else None
        self.hdffb = HDFFB(c.width, attention=c.hdffb_attention)
        self.decoder = Decoder(c.width, c.blocks, c.heads, frequency=c.sfca_frequency)
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse luma.

        Args:
            ir: Infrared (or MRI), ``(B, 1, H, W)`` in [0, 1].
            vis: Luma of the visible image (or of CT, PET, SPECT); same shape and range.

        Returns:
            Fused luma ``(B, 1, H, W)`` in (0, 1).
        """
        return with_border(self._fuse, ir, vis, 0 if self.training else self.config.border)

    def _fuse(self, ir: Tensor, vis: Tensor) -> Tensor:
        return self.decoder(self.fuse_features(self.encoder(vis), self.encoder(ir)))

    def fuse_features(self, vis: Tensor, ir: Tensor) -> Tensor:
        """Features of both modalities, ``(B, width, H, W)``, visible first, to one such map."""
        q_vis, q_ir = self.fdlb(vis, ir) if self.fdlb is not None else (vis, ir)
        into = (q_vis, q_ir) if self.fdlb is not None else ()
        g1, g2 = in_bands(self._spatial_and_cross, vis, ir, q_vis, q_ir, halo=HALO, into=into)
        del vis, ir, q_vis, q_ir, into
        return self.hdffb(g1, g2)

    def _spatial_and_cross(self, vis: Tensor, ir: Tensor, q_vis: Tensor, q_ir: Tensor) -> tuple[Tensor, Tensor]:
        """The spatial block on both modalities, and the frequency features crossed with its result."""
        return self.hdffb.cross(q_vis, q_ir, self.sdlb_vis(vis), self.sdlb_ir(ir))
