"""What every metric does at its border: check shapes and range, pick the precision, go over to grey levels.

Metrics take pictures in [0, 1] (or uint8) and count inside in grey levels 0..255, which is what the literature's
constants are made for. A fused picture that requires a gradient is a loss term: it keeps its float32 or float64 and may
leave [0, 1] a little. All else is evaluation: float64, on the CPU where the device has none, and the range is checked.
"""

from __future__ import annotations

import torch
from torch import Tensor

FLAT = 1e-3
"""Contrast in grey levels below which there is no structure: 8-bit pictures have none between 0 and it."""


def grey_levels(*pictures: Tensor, smallest: int = 1) -> tuple[Tensor, ...]:
    """Check pictures of one metric and give them in grey levels.

    Args:
        *pictures: ``(B, 1, H, W)`` each and of one shape, float in [0, 1] or uint8.
        smallest: The least height and width that the metric can work on.

    Returns:
        The same pictures times 255, ``(B, 1, H, W)``; float64 unless one of them requires a gradient.

    Raises:
        ValueError: If shapes differ or are no ``(B, 1, H, W)``, a picture is too small, or its range is not [0, 1].
    """
    _check_shapes(pictures, smallest)
    training = torch.is_grad_enabled() and any(p.requires_grad for p in pictures)
    if not training:
        for picture in pictures:
            _check_range(picture)
    return tuple(_scaled(picture, training) for picture in pictures)


def _check_shapes(pictures: tuple[Tensor, ...], smallest: int) -> None:
    shape = pictures[0].shape
    for picture in pictures:
        if picture.ndim != 4 or picture.shape[1] != 1:
            raise ValueError(f"pictures must be (B, 1, H, W), not {tuple(picture.shape)}")
        if picture.shape != shape:
            raise ValueError(f"pictures differ in shape: {tuple(shape)} and {tuple(picture.shape)}")
    if min(shape[-2:]) < smallest:
        raise ValueError(f"pictures of {shape[-2]}x{shape[-1]} are too small: this metric needs {smallest}x{smallest}")
    if shape[0] == 0:
        raise ValueError("the batch is empty")


def _check_range(picture: Tensor) -> None:
    if picture.dtype == torch.uint8:
        return
    if not picture.is_floating_point():
        raise ValueError(f"pictures must be float in [0, 1] or uint8, not {picture.dtype}")
    low, high = (value.item() for value in picture.detach().aminmax())
    if not (low >= 0 and high <= 1):  # also catches NaN
        raise ValueError(f"pictures must lie in [0, 1], not [{low:g}, {high:g}]; divide 8-bit values by 255")


def _scaled(picture: Tensor, training: bool) -> Tensor:
    if picture.device.type == "mps" and not training:  # has no float64
        picture = picture.cpu()
    if picture.dtype == torch.uint8:
        return picture.to(torch.float32 if training else torch.float64)
    if training:
        return 255 * (picture if picture.dtype == torch.float64 else picture.float())
    levels = 255 * picture.double()
    if picture.dtype == torch.float64:
        return levels
    nearest = levels.round()
    return torch.where((levels - nearest).abs() < 5e-5, nearest, levels)  # 8-bit values in float32 are whole again
