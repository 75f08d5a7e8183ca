"""Luma and chroma of numpy arrays and torch tensors.

Colour is full-range BT.601 (the JPEG one): luma and chroma in [0, 1], neutral chroma is 0.5.
"""

from __future__ import annotations

from functools import reduce

from cmmdl.files.arrays import Pixels, namespace

RED, GREEN, BLUE = 0.299, 0.587, 0.114
"""Weights of the luma, ITU-R BT.601."""


def luma(rgb: Pixels) -> Pixels:
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


def with_luma(rgb: Pixels, y: Pixels) -> list[Pixels]:
    """A colour picture with another luma and the chroma it has, as far as there is room for it.

    Chroma is the difference of a channel and the luma, so this is the way to YCbCr and back in one step: each channel
    moves by as much as the luma does. Where a channel would leave [0, 1], the chroma of that pixel is scaled down until
    it fits: clipping the channel would change hue and luma, this keeps both.

    Args:
        rgb: ``(..., 3, H, W)`` floats in [0, 1].
        y: ``(..., 1, H, W)`` in [0, 1], the luma it shall have.

    Returns:
        Red, green and blue, each ``(..., 1, H, W)`` in [0, 1] up to rounding.

    Raises:
        ValueError: If there are not three channels.
    """
    xp, change = namespace(rgb), y - luma(rgb)
    channels = [channel + change for channel in _channels(rgb)]
    low, high = (reduce(function, channels) for function in (xp.minimum, xp.maximum))
    beyond = (low < 0) | (high > 1)
    if beyond.any():
        grey, least, most = y[beyond], low[beyond], high[beyond]
        tiny = xp.finfo(y.dtype).tiny
        share = xp.minimum((1 - grey) / (most - grey).clip(tiny), grey / (grey - least).clip(tiny)).clip(0, 1)
        for channel in channels:
            channel[beyond] = grey + share * (channel[beyond] - grey)
    return channels


def rgb_to_ycbcr(rgb: Pixels) -> Pixels:
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
    return namespace(rgb).concat([y, cb, cr], axis=-3)


def ycbcr_to_rgb(ycbcr: Pixels) -> Pixels:
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
    return namespace(ycbcr).concat([red, green, blue], axis=-3)


def is_grey(image: Pixels) -> bool:
    """Whether a picture has one channel, or three that are equal.

    Args:
        image: ``(..., C, H, W)``, any type.
    """
    if image.shape[-3] == 1:
        return True
    red, green, blue = _channels(image)
    return bool((red == green).all()) and bool((red == blue).all())


def _channels(image: Pixels) -> tuple[Pixels, Pixels, Pixels]:
    """The three channels, each ``(..., 1, H, W)``."""
    if image.ndim < 3 or image.shape[-3] != 3:
        raise ValueError(f"expected (..., 3, H, W), three colour channels, not {tuple(image.shape)}")
    return image[..., 0:1, :, :], image[..., 1:2, :, :], image[..., 2:3, :, :]
