"""One call for the main job: two pictures of any kind in, the fused one of the same kind out."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from math import isqrt
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cmmdl import ops, pictures
from cmmdl.allocator import reuse_memory
from cmmdl.device import find_device
from cmmdl.errors import UserError
from cmmdl.images import MAX_PIXELS, Note
from cmmdl.memory import available_bytes
from cmmdl.pictures import Picture, Range, Result, Source
from cmmdl.tiling import fuse_tiled, tile_count
from cmmdl.weights import load_model

BYTES_PER_PIXEL = 64 * 4 * 28
"""Peak memory of the network for each pixel, as measured at 640x480 with freed memory kept (`reuse_memory`).

That is twenty-eight maps of 64 float32 channels; kept memory is fragmented, the default allocator needs twenty.
"""

BYTES_PER_PIXEL_WITHOUT_WEIGHTS = 64 * 4
"""The same for a method without weights: some dozens of maps of one channel."""

SHARE = 0.8
"""Part of the free memory that a picture may take before it is tiled."""

OVERLAP = 64
"""Overlap of tiles in pixels, unless a tile is so small that a quarter of it is less."""

SMALLEST_TILE = 128
"""Side in pixels below which tiles are not made smaller, however little memory there is."""

PRECISIONS = ("auto", "float32", "bfloat16", "float64")


class Fuser:
    """Fuses an infrared and a visible picture, or an MRI and a CT, PET or SPECT picture.

    ``Fuser("cmmdl-ivf")("ir.png", "vis.png")`` gives an array. Luma is fused; the chroma of the coloured picture is
    put back.

    Args:
        model: A name of :func:`cmmdl.available_models`, a weights file, or a module called ``model(ir, vis)`` on
            ``(B, 1, H, W)`` floats in [0, 1]. Of a module a copy is taken and put into eval mode.
        device: ``"auto"`` is the first GPU if there is one, else the CPU; or any torch device.
        precision: ``"float32"``, ``"float64"``, or ``"bfloat16"`` through autocast. ``"auto"`` is float32: spectra
            need it.
        tile: Side of tiles in pixels; pictures that are not larger are fused whole. ``None`` fuses whole as long as
            the memory allows, and says so if it does not.
        stretch: Stretch each fused luma to the full range by its own minimum and maximum, as the tables of most
            papers do.
        max_pixels: Largest picture file that is read.
        note: Called with a line about anything worth knowing: dropped alpha, tiling. By default a warning.

    On a CPU with glibc the process keeps freed memory from then on (:func:`cmmdl.allocator.reuse_memory`): without
    that, two thirds of the network's time are page faults.

    Raises:
        UserError: If the model, device or precision is unknown or not there.
    """

    def __init__(
        self,
        model: str | Path | nn.Module = "cmmdl-ivf",
        *,
        device: str | torch.device = "auto",
        precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto",
        tile: int | None = None,
        stretch: bool = False,
        max_pixels: int = MAX_PIXELS,
        note: Note = warnings.warn,
    ) -> None:
        if precision not in PRECISIONS:
            raise UserError(f"precision {precision!r} is unknown; there are {', '.join(PRECISIONS)}")
        if tile is not None and tile < 1:
            raise UserError(f"a tile of {tile} pixels is none; give --tile 512, or leave it out")
        self.device = find_device(device)
        if self.device.type == "cpu":
            reuse_memory()
        self.precision = "float32" if precision == "auto" else precision
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        module = copy.deepcopy(model) if isinstance(model, nn.Module) else load_model(model)
        self.model = module.to(self.device, self.dtype).eval()
        self.tile = tile
        self.stretch = stretch
        self.max_pixels = max_pixels
        self.note = note

    def __call__(
        self,
        ir: Source | Picture,
        vis: Source | Picture,
        *,
        ir_range: Range | None = None,
        vis_range: Range | None = None,
        depth: str | None = None,
        chroma: Literal["vis", "ir"] = "vis",
        resize_ir: bool = False,
    ) -> Result:
        """Fuses one pair, or a batch of pairs given as tensors.

        Args:
            ir: Infrared, or MRI: a path, a Pillow picture, an array ``(H, W)`` or ``(H, W, 3)``, or a tensor
                ``(H, W)``, ``(C, H, W)`` or ``(B, C, H, W)``. Whole numbers of any usual type, or floats in [0, 1].
            vis: Visible, or CT, PET, SPECT; of the same size. The result is of its kind; of paths it is an array.
            ir_range: The values of ``ir`` that mean black and white, for example ``(0, 4095)``. Others are clipped.
            vis_range: The same for ``vis``.
            depth: ``"uint8"``, ``"uint16"`` or ``"float32"``; by default that of ``vis``. Whole numbers of the
                result always run from 0 to their type's maximum and floats from 0 to 1.
            chroma: Which one's colour is kept where both have some.
            resize_ir: Resize ``ir`` to the size of ``vis`` rather than refuse different sizes.

        Returns:
            The fused picture, exactly as high and wide as ``vis``; of three channels if ``vis`` has three or the
            colour is that of ``ir``, else of one.

        Raises:
            UserError: If a picture cannot be read or used; the message names it and says what to do.
        """
        if chroma not in ("vis", "ir"):
            raise UserError(f"chroma {chroma!r} is unknown; there are vis and ir")
        with _memory_errors():
            one, two = self.take(ir, "infrared", ir_range), self.take(vis, "visible", vis_range)
            dtype = pictures.result_dtype(two, depth)
            one = _resized(one, two) if resize_ir else one
            _check_same_size(one, two)
            fused = self.fuse_luma(one.luma().to(two.pixels.device), two.luma())
            fused = ops.stretch(fused) if self.stretch else fused
            return pictures.give(fused, like=two, colour=_colour_of(one, two, chroma), dtype=dtype)

    def fuse_luma(self, ir: Tensor, vis: Tensor) -> Tensor:
        """Fuses ``(B, 1, H, W)`` floats in [0, 1], in tiles where it was asked or memory is short.

        Returns:
            The same shape, in [0, 1], float32, on the device of ``vis``.
        """
        if self.tile is not None:
            return self._tiled(ir, vis, self.tile)
        batch, _, height, width = vis.shape
        fitting = self._pixels_that_fit()
        if batch > 1 and batch * height * width > fitting:
            return torch.cat([self.fuse_luma(*pair) for pair in zip(ir.split(1), vis.split(1), strict=True)])
        side = max(height, width)
        tile = side if height * width <= fitting else max(SMALLEST_TILE, isqrt(int(fitting)) // 32 * 32)
        while True:
            try:
                return self._tiled(ir, vis, tile)
            except _OutOfMemoryError:
                if tile <= SMALLEST_TILE:
                    raise
            tile = max(SMALLEST_TILE, min(tile, side) // 2)

    def _tiled(self, ir: Tensor, vis: Tensor, tile: int) -> Tensor:
        """In tiles, or as a whole if one tile is enough."""
        height, width = vis.shape[-2:]
        overlap = min(OVERLAP, tile // 4)
        count = tile_count(height, width, tile=tile, overlap=overlap)
        if count == 1:
            return self._run(ir, vis)
        if self.tile is None:
            self.note(f"{width}x{height} does not fit into the free memory: fused in {count} tiles of {tile} pixels")
        return fuse_tiled(self._run, ir, vis, tile=tile, overlap=overlap)

    def _run(self, ir: Tensor, vis: Tensor) -> Tensor:
        """The model on one batch."""
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with _memory_errors(), torch.no_grad(), autocast:
            fused = self.model(ir.to(self.device, self.dtype), vis.to(self.device, self.dtype))
        fused = fused.to(vis.device, torch.float32)
        if not torch.isfinite(fused).all():
            raise UserError(f"the model gave NaN or infinite values in {self.precision}; try --precision float32")
        return fused.clamp_(0, 1)

    def _pixels_that_fit(self) -> float:
        """How many pixels can be fused at once in the memory that is free now."""
        free = available_bytes(self.device)
        learnt = next(self.model.parameters(), None) is not None
        bytes_per_pixel = BYTES_PER_PIXEL if learnt else BYTES_PER_PIXEL_WITHOUT_WEIGHTS
        return float("inf") if free is None else SHARE * free / (bytes_per_pixel * self.dtype.itemsize / 4)

    def take(self, source: Source | Picture, side: str, given: Range | None = None) -> Picture:
        """Reads and checks one picture ahead of the call, for example in another thread.

        Args:
            source: As in a call; what was taken before is returned as it is.
            side: ``"infrared"`` or ``"visible"``, for messages.
            given: The values that mean black and white.

        Raises:
            UserError: If it cannot be read or used.
        """
        if isinstance(source, Picture):
            return source
        name = f"the {side} picture"
        return pictures.take(source, name=name, given=given, max_pixels=self.max_pixels, note=self.note)


class _OutOfMemoryError(UserError):
    """An allocation failed."""


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turns a failed allocation into one line; torch raises a plain ``RuntimeError`` for it on a CPU."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        words = ("out of memory", "can't allocate memory", "not enough memory")
        if isinstance(error, MemoryError) or any(word in str(error) for word in words):
            remedy = "use (smaller) tiles with --tile, a smaller picture, or close other programs"
            raise _OutOfMemoryError(f"the memory does not suffice: {remedy}") from error
        raise


def _colour_of(ir: Picture, vis: Picture, chroma: str) -> Picture | None:
    """Whose chroma the result has: the coloured one's, and of two coloured ones that of ``chroma``."""
    coloured = [side for side in (vis, ir) if not ops.is_grey(side.pixels)]
    return coloured[-1 if chroma == "ir" else 0] if coloured else None


def _check_same_size(ir: Picture, vis: Picture) -> None:
    if len(ir.pixels) != len(vis.pixels):
        raise UserError(
            f"{ir.name}: a batch of {len(ir.pixels)}, {vis.name}: one of {len(vis.pixels)}; make them equal"
        )
    if ir.size != vis.size:
        sizes = f"{ir.name} is {ir.size[1]}x{ir.size[0]}, {vis.name} is {vis.size[1]}x{vis.size[0]}"
        raise UserError(f"{sizes}: both must show one scene in one size; --resize-ir resizes the infrared one")


def _resized(ir: Picture, vis: Picture) -> Picture:
    """The infrared picture in the visible one's size."""
    if ir.size == vis.size:
        return ir
    smaller = ir.size[0] > vis.size[0] or ir.size[1] > vis.size[1]
    values = F.interpolate(ir.values(), vis.size, mode="bilinear", antialias=smaller, align_corners=False)
    return Picture(values, (0.0, 1.0), ir.kind, ir.ndim, ir.name)
