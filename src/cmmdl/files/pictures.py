"""Any kind of picture in, the same kind out: files, Pillow pictures, numpy arrays and torch tensors.

Inside, a picture is its pixels as they came, ``(B, C, H, W)`` in their own type, and the two values that mean black
and white. Tensors stay tensors on their device, everything else is a numpy array. Floats are made of them a band of
rows at a time, so that a huge picture is not held as floats thrice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cmmdl.errors import UnusableError
from cmmdl.files.arrays import Pixels, as_kind_of, astype, dtype_name, empty_like, is_float, is_tensor, namespace
from cmmdl.files.colour import is_grey, with_luma
from cmmdl.files.colour import luma as luma_of
from cmmdl.files.filepicture import MAX_PIXELS, Array, FilePicture
from cmmdl.files.levels import MAXIMA, Range
from cmmdl.files.ranges import Given, RangeRule, Side, parse_range, range_of
from cmmdl.files.reading import pillow_to_picture, read_picture

if TYPE_CHECKING:
    from torch import Tensor

Source: TypeAlias = "str | Path | Image.Image | NDArray[Any] | Tensor"
"""What can be fused."""

Result: TypeAlias = "NDArray[Any] | Image.Image | Tensor"

Kind = Literal["array", "batch", "pillow", "tensor"]

DEPTHS = ("uint8", "uint16", "float32")

_BAND = 2**22
"""Pixels that are turned into floats at once."""


@dataclass(frozen=True)
class Picture:
    """A picture of any kind, on its way in.

    Attributes:
        pixels: ``(B, C, H, W)``, C 1 or 3, in the type it came with; a tensor if ``kind`` says so, else numpy.
        range: The values that mean 0 and 1.
        kind: What it came as, and what the result will be.
        ndim: Dimensions it came with, kept where the result has as many channels.
        name: How messages call it.
        dtype: The type it came with, in one word.
        notes: What is to be said about it, one line a kind.
        turned: Whether its file's orientation tag exchanged width and height.
        metadata: What its file holds beside pixels.
    """

    pixels: Pixels
    range: Range
    kind: Kind
    ndim: int
    name: str
    dtype: str
    notes: Mapping[str, str] = field(default_factory=dict)
    turned: bool = False
    metadata: tuple[str, ...] = ()

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[-2], self.pixels.shape[-1]

    @cached_property
    def is_grey(self) -> bool:
        """Whether it has one channel, or three that are equal."""
        return is_grey(self.pixels)

    def values(self, rows: slice = slice(None)) -> Pixels:
        """Some rows as ``(B, C, h, W)`` float32 in [0, 1]; what lies outside the range is clipped."""
        low, high = self.range
        values = astype(self.pixels[..., rows, :], "float32")
        values = values - low if low else values
        values = values / (high - low) if high - low != 1 else values
        own = dtype_name(self.pixels)
        within = own.startswith(("bool", "uint")) and self.range == (0, MAXIMA.get(own))
        return values if within else values.clip(0, 1)

    def luma(self) -> Pixels:
        """``(B, 1, H, W)`` float32 in [0, 1]; of a grey picture exactly its grey."""
        one = replace(self, pixels=self.pixels[:, :1]) if self.is_grey else self
        luma = empty_like(self.pixels, (len(self.pixels), 1, *self.size), "float32")
        for rows in row_slices(*self.size):
            values = one.values(rows)
            luma[..., rows, :] = values if self.is_grey else luma_of(values)
        return luma

    def resized(self, size: tuple[int, int]) -> Picture:
        """The picture in another height and width; bilinear, and smoothed first where it gets smaller."""
        return self if self.size == size else replace(self, pixels=_resized(self.values(), size), range=(0.0, 1.0))


def row_slices(height: int, width: int) -> Iterator[slice]:
    """Bands of rows that hold a few million pixels each."""
    step = max(1, _BAND // width)
    for start in range(0, height, step):
        yield slice(start, start + step)


def to_picture(
    source: Source, *, name: str, side: Side = "ir", given: Given = None, max_pixels: int = MAX_PIXELS
) -> Picture:
    """Takes a picture of any kind.

    Args:
        source: A path; a Pillow picture; an array ``(H, W)`` or ``(H, W, C)``; a tensor ``(H, W)``, ``(C, H, W)``
            or ``(B, C, H, W)``. C is 1 or 3, or 2 or 4 with alpha, which is dropped.
        name: How messages call it, where it is no file.
        side: Whose options messages name.
        given: The values that mean 0 and 1, see :data:`cmmdl.files.ranges.Given`.
        max_pixels: Largest file that is read.

    Raises:
        UserError: If it is no picture, holds NaN, or needs a range that was not given.
    """
    rule = parse_range(given, side)
    if isinstance(source, str | Path):
        return _of_file(read_picture(source, max_pixels=max_pixels), str(source), rule, side, "array")
    if isinstance(source, Image.Image):
        return _of_file(pillow_to_picture(source, name), name, rule, side, "pillow")
    if isinstance(source, np.ndarray):
        return _ranged(_array_pixels(source, name), None, rule, side, _loose("array", source.ndim, name))
    if is_tensor(source):
        return _ranged(_tensor_pixels(source, name), None, rule, side, _loose("tensor", source.ndim, name))
    raise UnusableError(f"{name} is a {type(source).__name__}; give a path, a Pillow picture, an array or a tensor")


def to_batch(source: NDArray[Any] | Tensor, *, name: str, side: Side = "ir", given: Given = None) -> Picture:
    """Takes several pictures of one size; a range that is found is that of all of them.

    Args:
        source: An array ``(B, H, W)`` or ``(B, H, W, C)``, a tensor ``(B, H, W)`` or ``(B, C, H, W)``.
        name: How messages call it.
        side: Whose options messages name.
        given: As in `to_picture`.

    Raises:
        UserError: If it is something else, holds NaN, or needs a range that was not given.
    """
    rule, tensor = parse_range(given, side), is_tensor(source)
    if not tensor and not isinstance(source, np.ndarray):
        raise UnusableError(f"{name} is a {type(source).__name__}; give an array or a tensor of a batch")
    if source.ndim not in (3, 4):
        shapes = "(B, H, W) or (B, C, H, W)" if tensor else "(B, H, W) or (B, H, W, 3)"
        raise UnusableError(f"{name}: a batch has the shape {shapes}, not {tuple(source.shape)}")
    loose: Any = source
    if tensor:
        pixels: Pixels = _tensor_pixels(loose[:, None] if source.ndim == 3 else loose, name)
        return _ranged(pixels, None, rule, side, _loose("tensor", 4, name))
    planes = loose[..., None] if source.ndim == 3 else loose
    pixels = np.concatenate([_array_pixels(one, name) for one in planes]) if len(planes) else _sound(planes, name)
    return _ranged(pixels, None, rule, side, _loose("batch", source.ndim, name))


def _loose(kind: Kind, ndim: int, name: str) -> Picture:
    """A picture whose pixels are still to come."""
    return Picture(None, (0.0, 1.0), kind, ndim, name, "")


def _of_file(file: FilePicture, name: str, rule: RangeRule, side: Side, kind: Kind) -> Picture:
    """A file that was read, or a Pillow picture."""
    more = replace(_loose(kind, file.array.ndim, name), notes=file.notes, turned=file.turned, metadata=file.metadata)
    return _ranged(_array_pixels(file.array, name), file.white, rule, side, more)


def _ranged(pixels: Pixels, white: float | None, rule: RangeRule, side: Side, picture: Picture) -> Picture:
    """The picture with its pixels, their range, and notes on both."""
    name, dtype, notes = picture.name, dtype_name(pixels), dict(picture.notes)
    if is_float(pixels) and not namespace(pixels).isfinite(pixels).all():
        raise UnusableError(f"{name} contains NaN or infinite values; replace them (numpy.nan_to_num) first")
    if pixels.shape[1] in (2, 4):
        notes["alpha"] = f"{name}: alpha dropped ({pixels.shape[1]} channels)"
        pixels = pixels[:, : pixels.shape[1] - 1]
    picture = replace(picture, pixels=pixels, dtype=dtype)
    if rule.kind == "each" and len(pixels) > 1:
        alone = [_ranged(pixels[k : k + 1], white, rule, side, picture).values() for k in range(len(pixels))]
        return replace(picture, pixels=namespace(pixels).concat(alone, axis=0), notes=notes)
    taken, more = range_of(pixels, white, rule, side=side, name=name)
    return replace(picture, range=taken, notes={**notes, **more})


def to_result(luma: Pixels, *, like: Picture, colour: Picture | None, dtype: str) -> Result:
    """Makes the result: luma and the chroma of ``colour`` as a picture of the kind of ``like``.

    Args:
        luma: ``(B, 1, H, W)`` floats in [0, 1], an array of the kind of ``like``.
        like: Decides kind, dimensions and, for a tensor, the device.
        colour: Whose chroma is put back; ``None`` gives a grey picture, of as many channels as ``like`` has.
        dtype: Of the result; whole numbers run from 0 to the type's maximum, floats from 0 to 1.
    """
    pixels = _empty(3 if colour is not None else like.pixels.shape[1], like, dtype)
    for rows in row_slices(*like.size):
        band = luma[..., rows, :]
        if colour is None:
            pixels[..., rows, :] = _quantised(band, dtype)
            continue
        for channel, values in enumerate(with_luma(as_kind_of(colour.values(rows), band), band)):
            pixels[:, channel : channel + 1, rows, :] = _quantised(values.clip(0, 1), dtype)
    return _as_kind(pixels, like)


def result_dtype(like: Picture, depth: str | None) -> str:
    """The type of the result: as asked, or that of ``like``; types without an agreed range give a usual one."""
    if depth is not None:
        return depth
    if "float" in like.dtype or like.dtype in ("uint8", "uint16"):
        return like.dtype
    return {"bool": "uint8", "int8": "uint8", "int16": "uint16"}.get(like.dtype, "float32")


def _empty(channels: int, like: Picture, dtype: str) -> Pixels:
    """``(B, C, H, W)`` of that type; the channels of a numpy array lie side by side in memory, as in its files."""
    batch, (height, width) = len(like.pixels), like.size
    if like.kind == "tensor":
        return empty_like(like.pixels, (batch, channels, height, width), dtype)
    return np.empty((batch, height, width, channels), dtype).transpose(0, 3, 1, 2)


def _resized(values: Pixels, size: tuple[int, int]) -> Pixels:
    """``(B, C, H, W)`` floats in another size; Pillow's bilinear filter and torch's with ``antialias`` are the same."""
    if is_tensor(values):
        from torch.nn import functional as F

        smaller = values.shape[-2] > size[0] or values.shape[-1] > size[1]
        return F.interpolate(values, size, mode="bilinear", antialias=smaller, align_corners=False)
    resized = np.empty((*values.shape[:2], *size), np.float32)
    for plane, result in zip(values.reshape(-1, *values.shape[2:]), resized.reshape(-1, *size), strict=True):
        result[:] = Image.fromarray(plane).resize(size[::-1], Image.Resampling.BILINEAR)
    return resized


def _array_pixels(array: Array, name: str) -> Array:
    """``(H, W)`` or ``(H, W, C)`` as ``(1, C, H, W)``, without copying."""
    if array.ndim not in (2, 3) or array.dtype.kind not in "buif":
        raise UnusableError(f"{name} is an array {array.shape} of {array.dtype}; give numbers (H, W) or (H, W, 3)")
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    pixels = array.astype(np.float64) if array.dtype.itemsize > 8 else array
    channels_first = pixels.transpose(2, 0, 1) if array.ndim == 3 else pixels[None]
    return _sound(channels_first[None], f"{name} {array.shape}")


def _tensor_pixels(tensor: Tensor, name: str) -> Tensor:
    """``(H, W)``, ``(C, H, W)`` or ``(B, C, H, W)`` as ``(B, C, H, W)``."""
    if tensor.ndim not in (2, 3, 4) or tensor.is_complex():
        raise UnusableError(f"{name} is a tensor {tuple(tensor.shape)}; give (H, W), (C, H, W) or (B, C, H, W)")
    shape = (1,) * (4 - tensor.ndim) + tuple(tensor.shape)
    return _sound(tensor.detach().reshape(shape), f"{name} {tuple(tensor.shape)}")


def _sound(pixels: Pixels, name: str) -> Pixels:
    channels = pixels.shape[1]
    if channels not in (1, 2, 3, 4) or 0 in pixels.shape:
        raise UnusableError(
            f"{name}: {channels} channels of {pixels.shape[-1]}x{pixels.shape[-2]}; give 1 or 3, not empty"
        )
    return pixels


def _quantised(values: Pixels, dtype: str) -> Pixels:
    return astype(values if "float" in dtype else (values * MAXIMA[dtype]).round(), dtype)


def _as_kind(pixels: Pixels, like: Picture) -> Result:
    """``(B, C, H, W)`` as the kind that ``like`` came as."""
    if like.kind == "tensor":
        return pixels.reshape(pixels.shape[-like.ndim :] if _keeps_ndim(pixels, like) else pixels.shape[1:])
    if like.kind == "batch":
        return pixels[:, 0] if pixels.shape[1] == 1 and like.ndim == 3 else pixels.transpose(0, 2, 3, 1)
    array = pixels[0].transpose(1, 2, 0)
    if array.shape[2] == 1 and like.ndim == 2:
        array = array[..., 0]
    if like.kind == "array":
        return array
    if array.ndim == 3 and array.dtype != np.uint8:
        raise UnusableError(f"Pillow has no colour pictures of {array.dtype}; ask for depth='uint8' or pass arrays")
    return Image.fromarray(array.astype(np.float32) if array.dtype.kind == "f" else array)


def _keeps_ndim(pixels: Pixels, like: Picture) -> bool:
    """Whether the result can have as many dimensions as ``like`` came with: colour needs one for the channels."""
    return like.ndim > 2 or pixels.shape[1] == 1
