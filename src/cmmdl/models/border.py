"""A border around the picture while it is fused, so that what a network draws at the edge is cut off with it."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor


def with_border(fuse: Callable[[Tensor, Tensor], Tensor], ir: Tensor, vis: Tensor, border: int) -> Tensor:
    """Repeats the outermost pixels of both pictures, fuses, and cuts the result to their size.

    A network that pads with zeros knows where the border is, and may draw lines and dots there.

    Args:
        fuse: Takes and returns ``(B, 1, H, W)``.
        ir: ``(B, 1, H, W)``.
        vis: Same shape.
        border: Pixels on each side; 0 calls ``fuse`` as it is.

    Returns:
        The shape of ``ir``.
    """
    if not border:
        return fuse(ir, vis)
    height, width = ir.shape[-2:]
    fused = fuse(*(F.pad(x, 4 * (border,), mode="replicate") for x in (ir, vis)))
    return fused[..., border : border + height, border : border + width]
