"""Fusion methods without anything to learn, called like a network: ``fused = model(ir, vis)``.

A table of networks without them hides how far plain arithmetic gets: the pixel maximum beats most networks on MI and
VIF. All take ``(B, 1, H, W)`` floats in [0, 1] of any size from one pixel and give the same; a picture fused with
itself comes back unchanged.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from cmmdl.models.camera import BlendFusion, EdgesFusion
from cmmdl.models.classical import (
    AnisotropicDiffusionFusion,
    GradientTransferFusion,
    GuidedFilterFusion,
    TwoScaleFusion,
    stronger,
)
from cmmdl.models.pyramids import laplacian_merge, laplacian_split, wavelet_merge, wavelet_split


class MeanFusion(nn.Module):
    """The mean of both sources: nothing is lost and everything is faint."""

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse ``(B, 1, H, W)`` floats in [0, 1]; the result has their shape and range."""
        return (ir + vis) / 2


class MaxFusion(nn.Module):
    """The brighter of both pixels."""

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse ``(B, 1, H, W)`` floats in [0, 1]; the result has their shape and range."""
        return ir.maximum(vis)


class LaplacianFusion(nn.Module):
    """The stronger detail at every scale of a Laplacian pyramid, the mean of what is left at its top.

    Args:
        levels: Scales of detail; fewer where the shorter side is below ``2**levels`` pixels.

    Reference: Burt, Adelson. Merging images through pattern decomposition. Proc. SPIE 575, 1985; the pyramid and its
        5-tap kernel (a = 3/8): The Laplacian pyramid as a compact image code. IEEE Trans. Communications 31, 1983.
    """

    def __init__(self, levels: int = 4) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse ``(B, 1, H, W)`` floats in [0, 1]; the result has their shape and range."""
        details_ir, top_ir = laplacian_split(ir, self.levels)
        details_vis, top_vis = laplacian_split(vis, self.levels)
        details = [stronger(a, b) for a, b in zip(details_ir, details_vis, strict=True)]
        return laplacian_merge(details, (top_ir + top_vis) / 2).clamp(0, 1)


class WaveletFusion(nn.Module):
    """The more active coefficient of every sub-band of a wavelet transform, the mean of the approximation.

    Activity is the largest magnitude within 3x3 coefficients; the binary choice is then made consistent by a 3x3
    majority vote, so that no coefficient comes from one source while its neighbours come from the other. The wavelet
    is the 5/3 biorthogonal one, by lifting, mirrored at the border.

    Args:
        levels: Depth of the transform; less where the shorter side is below ``2**levels`` pixels.

    Reference: Li, Manjunath, Mitra. Multisensor image fusion using the wavelet transform. Graphical Models and Image
        Processing 57, 1995; the wavelet: Le Gall, Tabatabai. Sub-band coding of digital images using symmetric short
        kernel filters. ICASSP, 1988.
    """

    def __init__(self, levels: int = 4) -> None:
        super().__init__()
        self.levels = levels

    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuse ``(B, 1, H, W)`` floats in [0, 1]; the result has their shape and range."""
        details_ir, top_ir = wavelet_split(ir, self.levels)
        details_vis, top_vis = wavelet_split(vis, self.levels)
        details = [
            tuple(_more_active(a, b) for a, b in zip(bands_ir, bands_vis, strict=True))
            for bands_ir, bands_vis in zip(details_ir, details_vis, strict=True)
        ]
        return wavelet_merge(details, (top_ir + top_vis) / 2).clamp(0, 1)


def _more_active(a: Tensor, b: Tensor) -> Tensor:
    """One sub-band of both sources ``(B, 1, h, w)`` → the coefficients chosen by windowed activity and a vote."""
    if 0 in a.shape:
        return a
    choose_a = F.max_pool2d(a.abs(), 3, 1, 1) >= F.max_pool2d(b.abs(), 3, 1, 1)
    votes = F.avg_pool2d(choose_a.to(a.dtype), 3, 1, 1, count_include_pad=False)
    return a.where(votes >= 0.5, b)


BASELINES: dict[str, type[nn.Module]] = {
    "mean": MeanFusion,
    "max": MaxFusion,
    "laplacian": LaplacianFusion,
    "wavelet": WaveletFusion,
    "gff": GuidedFilterFusion,
    "tif": TwoScaleFusion,
    "adf": AnisotropicDiffusionFusion,
    "gtf": GradientTransferFusion,
    "edges": EdgesFusion,
    "blend": BlendFusion,
}
"""Name on the command line → class; each is built without arguments."""
