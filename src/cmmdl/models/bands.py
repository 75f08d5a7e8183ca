"""Bands: a local function of whole feature maps, computed over a few rows at a time (or a few channels).

Most of the network is local: what a pixel becomes depends on its neighbours only. Such a function need not make its
intermediate maps whole. Over bands of rows, each with a halo of the neighbouring rows, they are small enough for the
cache and their memory is used again from band to band; only inputs and outputs are whole.

Bands are for inference on a CPU. While gradients are recorded, while a compiler traces, on other devices and for
pictures of a single band the function is simply called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from cmmdl.allocator import room
from cmmdl.models.norm import at_least_float32

BAND_PIXELS = 16 * 640
"""Pixels in one band, halo not counted: 2.5 MiB of 64 float32 channels."""

CHANNELS = 4
"""Channels in one group: Fourier transforms of a few maps at a time are several times as fast as of all at once."""

LEAST_ROWS = 4
"""Rows of a band beside each row of its halo, however wide the picture is: a halo costs time."""

SPACING = 16
"""Numbers between the channels of a planar map. Without them all channels of a pixel can lie a multiple of 4096 bytes
apart, where a cache holds only a few of them at a time."""


def in_bands(
    function: Callable[..., Any], *maps: Tensor, halo: int = 0, planar: bool = False, into: Sequence[Tensor] = ()
) -> Any:
    """``function(*maps)`` of a local function, with little memory.

    Args:
        function: Takes maps of any height and gives a map, or a tuple of maps, of the same height.
        maps: ``(B, C_k, H, W)``, all of one height.
        halo: How many rows up and down a pixel of the result depends on. The function sees the picture's own border
            at the picture's border only, and what it makes of the border between bands is cut off with the halo.
        planar: Lay the result of bands out channel by channel and at least in float32, as a Fourier transform wants
            it, not channels-last.
        into: Where to put the first results if bands are taken; may be maps of which the function uses no halo. By
            default, and for the results beyond, new maps.

    Returns:
        What the function gives, of height ``H``.
    """
    if not worthwhile(maps[0]):
        return function(*maps)
    sample = function(*(m[:, :, : halo + 1] for m in maps))
    single = isinstance(sample, Tensor)
    samples = (sample,) if single else sample
    sizes = [(*piece.shape[:2], maps[0].shape[2], piece.shape[3]) for piece in samples]
    fresh = [_room(piece, size, planar) for piece, size in list(zip(samples, sizes, strict=True))[len(into) :]]
    results = [*into, *fresh]
    for parts, outer, inner in bands(maps, halo):
        made = function(*parts)
        for result, piece in zip(results, (made,) if single else made, strict=True):
            result[:, :, outer] = piece[:, :, inner]
        del made, piece
    return results[0] if single else results


def sum_over_bands(
    function: Callable[..., Any], statistics: Callable[..., tuple[Tensor, ...]], *maps: Tensor, halo: int = 0
) -> tuple[Tensor, ...]:
    """``statistics(*function(*maps))``, where the statistics are sums over all pixels.

    Args:
        function: As in `in_bands`, giving a tuple.
        statistics: Takes the function's maps; each tensor that it gives is a sum over their pixels.
        maps: As in `in_bands`.
        halo: As in `in_bands`.
    """
    if not worthwhile(maps[0]):
        return statistics(*function(*maps))
    totals: tuple[Tensor, ...] = ()
    for parts, _, inner in bands(maps, halo):
        sums = statistics(*(piece[:, :, inner] for piece in function(*parts)))
        totals = tuple(total.add_(more) for total, more in zip(totals, sums, strict=True)) if totals else sums
    return totals


def over_channels(function: Callable[..., Tensor], *maps: Tensor, into: Tensor | None = None) -> Tensor:
    """``function(*maps)`` of a function that treats each channel by itself, over groups of channels.

    Args:
        function: Takes maps of any number of channels and gives one of as many.
        maps: ``(B, C, H_k, W_k)``, best laid out channel by channel.
        into: Where to put the result; may be one of the maps. By default a new map, laid out channel by channel.

    Returns:
        What the function gives, of ``C`` channels.
    """
    if not worthwhile(maps[0]):
        return function(*maps)
    channels = maps[0].shape[1]
    if into is None:
        sample = function(*(m[:, :1] for m in maps))
        into = _room(sample, (len(sample), channels, *sample.shape[2:]), planar=True)
    for start in range(0, channels, CHANNELS):
        group = slice(start, start + CHANNELS)
        into[:, group] = function(*(m[:, group] for m in maps))
    return into


def _room(sample: Tensor, size: tuple[int, ...], planar: bool) -> Tensor:
    """An empty map of a sample's type, or wider as in `in_bands`."""
    if not planar:
        return room(size, sample.dtype, torch.channels_last)
    batch, channels, height, width = size
    dtype = at_least_float32(sample[:0]).dtype
    flat = room((batch, channels, 1, height * width + SPACING), dtype, torch.contiguous_format)
    return flat[..., : height * width].view(size)


def worthwhile(x: Tensor) -> bool:
    """Whether `in_bands` takes bands of ``(B, C, H, W)``."""
    plain = torch.is_grad_enabled() or torch.compiler.is_compiling() or x.device.type != "cpu"
    return not plain and x.shape[0] * x.shape[-2] * x.shape[-1] > BAND_PIXELS


def bands(maps: tuple[Tensor, ...], halo: int) -> Iterator[tuple[list[Tensor], slice, slice]]:
    """Each band with its halo, the band's rows in the whole map, and its rows in the band with the halo."""
    batch, _, height, width = maps[0].shape
    rows = max(BAND_PIXELS // (batch * width), LEAST_ROWS * max(halo, 1))
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        first, last = max(top - halo, 0), min(bottom + halo, height)
        yield [m[:, :, first:last] for m in maps], slice(top, bottom), slice(top - first, bottom - first)
