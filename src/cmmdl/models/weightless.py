"""Settings that no parameter depends on: what a network does around its own work when a picture is fused.

They act in eval mode only. Weights may be trained on, averaged and shipped with other values of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

WEIGHTLESS = "border", "black"
"""Fields of both networks' configurations."""

Fuse = Callable[[Tensor, Tensor], Tensor]


def check_weightless(border: int, black: int, *, block: int = 1) -> None:
    """Refuses what they cannot be.

    Args:
        border: As of `fuse_within`.
        black: As of `fuse_within`.
        block: What a border must be a multiple of, so that blocks of pixels stay in place.

    Raises:
        ValueError: Naming the field.
    """
    if border < 0 or border % block:
        raise ValueError(f"border must be {f'a multiple of {block}, ' if block > 1 else ''}at least 0, not {border}")
    if not 0 <= black <= 255:
        raise ValueError(f"black must be from 0 to 255, not {black}")


def parametric(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a network's configuration that its parameters depend on."""
    return {name: value for name, value in settings.items() if name not in WEIGHTLESS}


def fuse_within(fuse: Fuse, ir: Tensor, vis: Tensor, *, border: int, black: int) -> Tensor:
    """Fuses with a border around the pictures, and keeps black what is black in both.

    Args:
        fuse: Takes and returns ``(B, 1, H, W)``.
        ir: ``(B, 1, H, W)`` in [0, 1].
        vis: Same shape and range.
        border: See `with_border`.
        black: See `keep_black`.

    Returns:
        The shape of ``ir``.
    """
    return keep_black(with_border(fuse, ir, vis, border), ir, vis, black)


def with_border(fuse: Fuse, ir: Tensor, vis: Tensor, border: int) -> Tensor:
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


def keep_black(fused: Tensor, ir: Tensor, vis: Tensor, levels: int) -> Tensor:
    """Holds the result down where both sources are black: the empty background of a medical picture stays empty.

    Args:
        fused: ``(B, 1, H, W)``.
        ir: Same shape, in [0, 1].
        vis: Same shape and range.
        levels: Of 255: pixels that are at most as bright in both sources are so in the result. 0 changes nothing.

    Returns:
        The shape of ``fused``.
    """
    if not levels:
        return fused
    black = torch.maximum(ir, vis) < (levels + 0.5) / 255  # half a level more: no precision rounds a level past it
    return torch.where(black, fused.clamp(max=levels / 255), fused)
