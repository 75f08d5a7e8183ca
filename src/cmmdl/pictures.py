"""Any kind of picture in, the same kind out: files, Pillow pictures, numpy arrays and torch tensors.

Inside, a picture is its pixels as they came, ``(B, C, H, W)`` in their own type, and the two values that mean black
and white. Floats are made of them a band of rows at a time, so that a huge picture is not held as floats thrice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from cmmdl import ops
from cmmdl.errors import UserError
from cmmdl.images import Array, Note, pillow_to_array, read_image

Source = str | Path | Image.Image | NDArray[Any] | Tensor
"""What can be fused."""

Result = NDArray[Any] | Image.Image | Tensor

Range = tuple[float, float]

DEPTHS = {"uint8": torch.uint8, "uint16": torch.uint16, "float32": torch.float32}

_MAXIMA = {
    torch.bool: 1,
    torch.uint8: 2**8 - 1,
    torch.int8: 2**7 - 1,
    torch.uint16: 2**16 - 1,
    torch.int16: 2**15 - 1,
    torch.uint32: 2**32 - 1,
}
_BAND = 2**22
"""Pixels that are turned into floats at once."""


@dataclass(frozen=True)
class Picture:
    """A picture of any kind, on its way in.

    Attributes:
        pixels: ``(B, C, H, W)``, C 1 or 3, in the type it came with.
        range: The values that mean 0 and 1.
        kind: What it came as, and what the result will be.
        ndim: Dimensions it came with, kept where the result has as many channels.
        name: How messages call it.
    """

    pixels: Tensor
    range: Range
    kind: Literal["array", "pillow", "tensor"]
    ndim: int
    name: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    def values(self, rows: slice = slice(None)) -> Tensor:
        """Some rows as ``(B, C, h, W)`` float32 in [0, 1]; what lies outside the range is clipped."""
        low, high = self.range
        return ((self.pixels[..., rows, :].to(torch.float32) - low) / (high - low)).clamp_(0, 1)

    def luma(self) -> Tensor:
        """``(B, 1, H, W)`` float32 in [0, 1]; of a grey picture exactly its grey."""
        grey = ops.is_grey(self.pixels)
        shape = (len(self.pixels), 1, *self.size)
        luma = torch.empty(shape, dtype=torch.float32, device=self.pixels.device)
        for rows in bands(*self.size):
            values = self.values(rows)
            luma[..., rows, :] = values[:, :1] if grey else ops.luma(values)
        return luma


def bands(height: int, width: int) -> Iterator[slice]:
    """Bands of rows that hold a few million pixels each."""
    step = max(1, _BAND // width)
    for start in range(0, height, step):
        yield slice(start, start + step)


def take(source: Source, *, name: str, given: Range | None, max_pixels: int, note: Note) -> Picture:
    """Takes a picture of any kind.

    Args:
        source: A path; a Pillow picture; an array ``(H, W)`` or ``(H, W, C)``; a tensor ``(H, W)``, ``(C, H, W)``
            or ``(B, C, H, W)``. C is 1 or 3, or 2 or 4 with alpha, which is dropped.
        name: How messages call it, where it is no file.
        given: The values that mean 0 and 1. Without it: 0 and the type's maximum, or 0 and 1 for floats.
        max_pixels: Largest file that is read.
        note: Called with a line about anything that was dropped.

    Raises:
        UserError: If it is no picture, if floats leave [0, 1] and no range was given, or hold NaN.
    """
    if isinstance(source, str | Path):
        array = read_image(source, max_pixels=max_pixels, note=note)
        return _checked(_array_pixels(array, str(source), note), given, "array", array.ndim, str(source))
    if isinstance(source, Image.Image):
        array = pillow_to_array(source, lambda text: note(f"{name}: {text}"))
        return _checked(_array_pixels(array, name, note), given, "pillow", array.ndim, name)
    if isinstance(source, np.ndarray):
        return _checked(_array_pixels(source, name, note), given, "array", source.ndim, name)
    if isinstance(source, Tensor):
        return _checked(_tensor_pixels(source, name, note), given, "tensor", source.ndim, name)
    raise UserError(f"{name} is a {type(source).__name__}; give a path, a Pillow picture, an array or a tensor")


def give(luma: Tensor, *, like: Picture, colour: Picture | None, dtype: torch.dtype) -> Result:
    """Makes the result: luma and the chroma of ``colour`` as a picture of the kind of ``like``.

    Args:
        luma: ``(B, 1, H, W)`` floats in [0, 1].
        like: Decides kind, dimensions and, for a tensor, the device.
        colour: Whose chroma is put back; ``None`` gives a grey picture, of as many channels as ``like`` has.
        dtype: Of the result; whole numbers run from 0 to the type's maximum, floats from 0 to 1.
    """
    channels = 3 if colour is not None else like.pixels.shape[1]
    memory = torch.contiguous_format if like.kind == "tensor" else torch.channels_last
    shape = (len(luma), channels, *like.size)
    pixels = torch.empty(shape, dtype=dtype, device=like.pixels.device, memory_format=memory)
    for rows in bands(*like.size):
        band = luma[..., rows, :].to(pixels.device)
        if colour is not None:
            chroma = ops.rgb_to_ycbcr(colour.values(rows).to(band))[:, 1:]
            band = ops.ycbcr_to_rgb(torch.cat([band, chroma], 1)).clamp_(0, 1)
        pixels[..., rows, :] = _quantised(band, dtype)
    return _as_kind(pixels, like)


def result_dtype(like: Picture, depth: str | None) -> torch.dtype:
    """The type of the result: as asked, or that of ``like``; types without an agreed range give a usual one."""
    if depth is not None:
        if depth not in DEPTHS:
            raise UserError(f"depth {depth!r} is unknown; there are {', '.join(DEPTHS)}")
        return DEPTHS[depth]
    own = like.pixels.dtype
    if own.is_floating_point or own in (torch.uint8, torch.uint16):
        return own
    return {1: torch.uint8, 2: torch.uint16}.get(own.itemsize, torch.float32)


def _array_pixels(array: Array, name: str, note: Note) -> Tensor:
    """``(H, W)`` or ``(H, W, C)`` as ``(1, C, H, W)``, without copying where torch can share the memory."""
    if array.ndim not in (2, 3) or array.dtype.kind not in "buif":
        raise UserError(f"{name} is an array {array.shape} of {array.dtype}; give numbers (H, W) or (H, W, 3)")
    if not (array.flags.writeable and array.flags.c_contiguous and array.dtype.isnative):
        array = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    pixels = torch.from_numpy(array.astype(np.float64) if array.dtype.itemsize > 8 else array)
    channels_first = pixels.permute(2, 0, 1) if array.ndim == 3 else pixels[None]
    return _without_alpha(channels_first[None], f"{name} {array.shape}", note)


def _tensor_pixels(tensor: Tensor, name: str, note: Note) -> Tensor:
    """``(H, W)``, ``(C, H, W)`` or ``(B, C, H, W)`` as ``(B, C, H, W)``."""
    if tensor.ndim not in (2, 3, 4) or tensor.is_complex():
        raise UserError(f"{name} is a tensor {tuple(tensor.shape)}; give (H, W), (C, H, W) or (B, C, H, W)")
    shape = (1,) * (4 - tensor.ndim) + tuple(tensor.shape)
    return _without_alpha(tensor.detach().reshape(shape), f"{name} {tuple(tensor.shape)}", note)


def _without_alpha(pixels: Tensor, name: str, note: Note) -> Tensor:
    channels = pixels.shape[1]
    if channels not in (1, 2, 3, 4) or pixels.numel() == 0:
        raise UserError(f"{name}: {channels} channels of {pixels.shape[-1]}x{pixels.shape[-2]}; give 1 or 3, not empty")
    if channels in (2, 4):
        note(f"{name}: alpha dropped")
    return pixels[:, : channels - 1] if channels in (2, 4) else pixels


def _checked(
    pixels: Tensor, given: Range | None, kind: Literal["array", "pillow", "tensor"], ndim: int, name: str
) -> Picture:
    """Settles which values mean 0 and 1, and refuses what does not fit."""
    if pixels.is_floating_point() and not torch.isfinite(pixels).all():
        raise UserError(f"{name} holds NaN or infinite values; replace them (numpy.nan_to_num) first")
    if given is not None:
        if not given[0] < given[1]:
            raise UserError(f"{name}: the range {given[0]} to {given[1]} is empty; give the lower value first")
        return Picture(pixels, (float(given[0]), float(given[1])), kind, ndim, name)
    if not pixels.is_floating_point():
        if pixels.dtype not in _MAXIMA:
            raise UserError(f"{name} holds {pixels.dtype} values, which have no agreed maximum; give its range")
        return Picture(pixels, (0.0, float(_MAXIMA[pixels.dtype])), kind, ndim, name)
    low, high = pixels.min().item(), pixels.max().item()
    if low < -1e-6 or high > 1 + 1e-6:
        raise UserError(
            f"{name} holds floats from {low:.6g} to {high:.6g}, outside [0, 1]; give its range "
            "(--ir-range/--vis-range LOW HIGH, ir_range/vis_range in Python)"
        )
    return Picture(pixels, (0.0, 1.0), kind, ndim, name)


def _quantised(values: Tensor, dtype: torch.dtype) -> Tensor:
    if dtype.is_floating_point:
        return values.to(dtype)
    return (values * _MAXIMA[dtype]).round_().to(dtype)


def _as_kind(pixels: Tensor, like: Picture) -> Result:
    """``(B, C, H, W)`` as the kind that ``like`` came as."""
    if like.kind == "tensor":
        return pixels.reshape(pixels.shape[-like.ndim :] if _keeps_ndim(pixels, like) else pixels.shape[1:])
    array = pixels[0].permute(1, 2, 0).numpy()
    if array.shape[2] == 1 and like.ndim == 2:
        array = array[..., 0]
    if like.kind == "array":
        return array
    if array.ndim == 3 and array.dtype != np.uint8:
        raise UserError(f"Pillow has no colour pictures of {array.dtype}; ask for depth='uint8' or pass arrays")
    return Image.fromarray(array.astype(np.float32) if array.dtype.kind == "f" else array)


def _keeps_ndim(pixels: Tensor, like: Picture) -> bool:
    """Whether the result can have as many dimensions as ``like`` came with: colour needs one for the channels."""
    return like.ndim > 2 or pixels.shape[1] == 1
