"""Small pure picture operators on torch tensors: colour and stretch.

Colour is full-range BT.601 (the JPEG one): luma and chroma in [0, 1], neutral chroma is 0.5.
"""

from __future__ import annotations

import torch
from torch import Tensor

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Weights of the luma, ITU-R BT.601."""


def luma(rgb: Tensor) -> Tensor:
    """The luma of a colour picture.

    Args:
        rgb: ``(..., 3, H, W)`` floats in [0, 1].

    Returns:
        ``(..., 1, H, W)`` in [0, 1].

    Raises:
        ValueError: If there are not three channels.

    Reference: ITU-R BT.601-7, section 2.5.1.
    """
    red, green, blue = _channels(rgb)
    return RED * red + GREEN * green + BLUE * blue


def rgb_to_ycbcr(rgb: Tensor) -> Tensor:
    """Colour to luma and chroma.

    Args:
        rgb: ``(..., 3, H, W)`` floats in [0, 1].

    Returns:
        ``(..., 3, H, W)``: Y, Cb, Cr in [0, 1]; grey has Cb = Cr = 0.5.

    Raises:
        ValueError: If there are not three channels.

    Reference: ITU-T T.871 (JPEG file interchange format), section 7, divided by 255.
    """
    red, _, blue = _channels(rgb)
    y = luma(rgb)
    cb = 0.5 + (blue - y) / (2 * (1 - BLUE))
    cr = 0.5 + (red - y) / (2 * (1 - RED))
    return torch.cat([y, cb, cr], dim=-3)


def ycbcr_to_rgb(ycbcr: Tensor) -> Tensor:
    """Luma and chroma to colour, the exact inverse of :func:`rgb_to_ycbcr`.

    Args:
        ycbcr: ``(..., 3, H, W)``: Y, Cb, Cr in [0, 1].

    Returns:
        ``(..., 3, H, W)``. Not clipped: a luma that was changed can leave [0, 1] together with its chroma.

    Raises:
        ValueError: If there are not three channels.
    """
    y, cb, cr = _channels(ycbcr)
    red = y + 2 * (1 - RED) * (cr - 0.5)
    blue = y + 2 * (1 - BLUE) * (cb - 0.5)
    green = (y - RED * red - BLUE * blue) / GREEN
    return torch.cat([red, green, blue], dim=-3)


def stretch(image: Tensor) -> Tensor:
    """Stretches each picture of a batch to [0, 1] by its own minimum and maximum.

    This is what the programs behind most tables of the field do to every result before scoring it. It changes
    from frame to frame, so a video flickers.

    Args:
        image: ``(..., C, H, W)`` floats.

    Returns:
        The same shape, each ``(C, H, W)`` from 0 to 1. A flat picture is returned as it is.
    """
    low, high = image.amin((-3, -2, -1), keepdim=True), image.amax((-3, -2, -1), keepdim=True)
    return torch.where(high > low, (image - low) / (high - low).clamp_min(torch.finfo(image.dtype).tiny), image)


def is_grey(image: Tensor) -> bool:
    """Whether a picture has one channel, or three that are equal.

    Args:
        image: ``(..., C, H, W)``, any type.
    """
    if image.shape[-3] == 1:
        return True
    red, green, blue = _channels(image)
    return torch.equal(red, green) and torch.equal(red, blue)


def _channels(image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three channels, each ``(..., 1, H, W)``."""
    if image.ndim < 3 or image.shape[-3] != 3:
        raise ValueError(f"expected (..., 3, H, W), three colour channels, not {tuple(image.shape)}")
    red, green, blue = image.split(1, dim=-3)
    return red, green, blue
