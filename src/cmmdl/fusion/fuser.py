"""One call for the main job: two pictures of any kind in, the fused one of the same kind out."""

from __future__ import annotations

import copy
import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from math import isqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from cmmdl.errors import UserError
from cmmdl.files import pictures
from cmmdl.files.arrays import Pixels, as_kind_of, is_tensor, namespace
from cmmdl.files.images import MAX_PIXELS, Note
from cmmdl.files.levels import stretch as stretched
from cmmdl.files.notes import ResultNote
from cmmdl.files.pictures import Picture, Result, Source
from cmmdl.files.ranges import Given, Side
from cmmdl.files.thermal import Thermal
from cmmdl.fusion.fitting import check_same_size, colour_note
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.lay_pictures import covered
from cmmdl.fusion.options import DEFAULTS, FuseOptions
from cmmdl.fusion.pip import window
from cmmdl.fusion.sources import lay_sources
from cmmdl.fusion.tiling import exact_tile, exact_tile_count, fuse_tiled, fuse_tiled_exactly, tile_count
from cmmdl.runtimes.choice import open_backend
from cmmdl.runtimes.memory import available_bytes, is_out_of_memory

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from torch import Tensor, nn

SHARE = 0.8
"""Part of the free memory that a picture may take before it is tiled."""

OVERLAP = 64
"""Overlap of tiles in pixels, unless a tile is so small that a quarter of it is less."""

SMALLEST_TILE = 128
"""Side in pixels below which tiles are not made smaller, however little memory there is."""


class Fuser:
    """Fuses an infrared and a visible picture, or an MRI and a CT, PET or SPECT picture.

    ``Fuser("cmmdl-ivf")("ir.png", "vis.png")`` gives an array. Luma is fused; the chroma of the coloured picture is
    put back.

    Args:
        model: A name of :func:`cmmdl.available_models`, a weights file, an exported ``.onnx`` or ``.xml`` file, or a
            module called ``model(ir, vis)`` on ``(B, 1, H, W)`` floats in [0, 1]. Of a module a copy is taken and put
            into eval mode.
        backend: ``"torch"``, ``"onnxruntime"`` or ``"openvino"``; ``"auto"`` chooses among those installed,
            see :func:`cmmdl.runtimes.choice.choose_backend`. The last two import torch only to export what
            does not ship as ONNX.
        device: ``"auto"`` is the first GPU if there is one, else the CPU; or any torch device.
        precision: ``"float32"``, ``"float64"`` (torch), or ``"bfloat16"`` (torch through autocast, OpenVINO).
            ``"auto"`` is float32, which spectra need, or what an exported file was quantised to.
        threads: CPU threads, in torch for the whole process. By default what ``OMP_NUM_THREADS`` says, else all cores.
        tile: Side of tiles in pixels; pictures that are not larger are fused whole. ``None`` fuses whole as long as
            the memory allows, and says so if it does not.
        stretch: Stretch each fused luma to the full range by its own minimum and maximum, as the tables of most
            papers do.
        max_pixels: Largest picture file that is read.
        note: Called with a line about anything worth knowing: dropped alpha, values that hardly use their type, tiling.
            By default a warning. What concerns pictures is said once for each side.

    With torch on a CPU with glibc the process keeps freed memory from then on
    (:func:`cmmdl.models.allocator.reuse_memory`): without that, two thirds of the network's time are page faults.

    Raises:
        UserError: If the model, backend, device or precision is unknown or not there.
    """

    def __init__(
        self,
        model: str | Path | nn.Module = "cmmdl-ivf",
        *,
        backend: Literal["auto", "torch", "onnxruntime", "openvino"] = "auto",
        device: str | torch.device = "auto",
        precision: Literal["auto", "float32", "bfloat16", "float64"] = "auto",
        threads: int | None = None,
        tile: int | None = None,
        stretch: bool = False,
        max_pixels: int = MAX_PIXELS,
        note: Note = warnings.warn,
    ) -> None:
        if tile is not None and tile < 1:
            raise UserError(f"the tile must be at least 1 pixel, not {tile}; give --tile 512, or leave it out")
        self.backend = open_backend(model, backend, device=device, precision=precision, threads=threads, note=note)
        self.tile = tile
        self.stretch = stretch
        self.max_pixels = max_pixels
        self.note = note
        self._said: dict[str, bool] = {}

    @property
    def device(self) -> Any:
        """Where the network runs: a torch device, or ``"cpu"``."""
        return self.backend.device

    @property
    def model(self) -> Any:
        """The torch module that runs, None on the other backends."""
        return self.backend.model

    def __call__(
        self,
        ir: Source | Picture | Thermal,
        vis: Source | Picture | None = None,
        *,
        ir_range: Given = None,
        vis_range: Given = None,
        depth: str | None = None,
        chroma: Literal["vis", "ir"] = "vis",
        resize_ir: bool = False,
        align: str | None = None,
        transform: str | Path | None = None,
        shift: tuple[float, float] = (0.0, 0.0),
        zoom: float = 1.0,
        rotate: float = 0.0,
        grid: Literal["vis", "overlap", "ir"] | None = None,
        ir_palette: str | None = None,
        invert_ir: bool = False,
    ) -> Result:
        """Fuses one pair, or a batch of pairs given as tensors; :meth:`batch` takes arrays of several pairs.

        Args:
            ir: Infrared, or MRI: a path, a Pillow picture, an array ``(H, W)`` or ``(H, W, 3)``, or a tensor
                ``(H, W)``, ``(C, H, W)`` or ``(B, C, H, W)``: three grey ones as ``(3, H, W)`` are one RGB picture.
                Whole numbers of any usual type, or floats in [0, 1].
                Temperatures of :func:`cmmdl.read_thermal`, or a radiometric JPEG, are laid on the visible picture.
            vis: Visible, or CT, PET, SPECT; of the same size. The result is of its kind; of paths it is an array.
                Left out, it is the photo within the radiometric JPEG.
            ir_range: The values of ``ir`` that mean black and white, others are clipped: ``(7000, 8500)``, percentages
                ``"1%:99%"``, or ``"auto"``, which takes what the values of this call span where they use less than half
                of their type; a batch shares it, ``"each"`` does not. By default the type's, with a warning where
                they use less than an eighth of it; ``"type"`` is the same without the warning.
            vis_range: The same for ``vis``.
            depth: ``"uint8"``, ``"uint16"`` or ``"float32"``; by default that of ``vis``. Whole numbers of the
                result always run from 0 to their type's maximum and floats from 0 to 1.
            chroma: Which one's colour is kept where both have some.
            resize_ir: Resize ``ir`` to the size of ``vis`` rather than refuse different sizes.
            align: Lay ``ir`` on ``vis`` first, where that is sure: ``"auto"``, or one of
                :data:`cmmdl.align.transform.WARPS`. Sizes and fields of view may differ.
            transform: A stored transform instead, see :func:`cmmdl.align.save`.
            shift: Moves ``ir`` right and down, in pixels of ``vis``.
            zoom: Enlarges ``ir`` about the middle of ``vis``.
            rotate: Turns ``ir`` clockwise about the same point, in degrees.
            grid: Whose pixels the result has: ``"vis"``, ``"overlap"`` for its part in the infrared field of view, or
                ``"ir"``. By default ``"overlap"`` for the photo within a radiometric JPEG, else ``"vis"``.
            ir_palette: The palette that ``ir`` is painted in, to take its values back: a name, or ``"auto"`` to
                recognise it.
            invert_ir: Whether black is hot in ``ir``.

        Returns:
            The fused picture, exactly as high and wide as ``vis`` unless ``grid`` says otherwise; of three channels if
            ``vis`` has three or the colour is that of ``ir``, else of one.

        Raises:
            UserError: If a picture cannot be read or used; the message names it and says what to do.
        """
        stored = None if transform is None else Path(transform)
        asked = FuseOptions(
            ir_range,
            vis_range,
            depth,
            chroma,
            resize_ir,
            align,
            stored,
            shift,
            zoom,
            rotate,
            grid,
            check=False,
            ir_palette=ir_palette,
            invert_ir=invert_ir,
        )
        return self.fuse(ir, vis, asked)

    def batch(
        self, ir: NDArray[Any] | Tensor, vis: NDArray[Any] | Tensor, options: FuseOptions = DEFAULTS
    ) -> NDArray[Any] | Tensor:
        """Fuses several pairs of one size at once; one range is taken for all pictures of a side.

        A call takes a tensor ``(3, H, W)`` for one RGB picture; here it is three grey ones.

        Args:
            ir: An array ``(B, H, W)`` or ``(B, H, W, 3)``, or a tensor ``(B, H, W)`` or ``(B, C, H, W)``.
            vis: As many, of the same size.
            options: As in `fuse`.

        Returns:
            An array or tensor like ``vis``; with three channels where a picture of ``ir`` has colour.

        Raises:
            UserError: If the shapes do not go together, or values need a range.
        """
        one = pictures.to_batch(ir, name="the infrared batch", side="ir", given=options.ir_range)
        two = pictures.to_batch(vis, name="the visible batch", side="vis", given=options.vis_range)
        fused: Any = self.fuse(one, two, options)
        return fused[:, 0] if is_tensor(fused) and vis.ndim == 3 and fused.shape[1] == 1 else fused

    def fuse(
        self, ir: Source | Picture | Thermal, vis: Source | Picture | None = None, options: FuseOptions = DEFAULTS
    ) -> Result:
        """As a call, with its options as one value.

        Args:
            ir: As in a call.
            vis: As in a call.
            options: What is asked for.
        """
        with _memory_errors():
            return self.fuse_laid(self.lay(ir, vis, options), options)

    def lay(
        self,
        ir: Source | Picture | Thermal,
        vis: Source | Picture | None,
        options: FuseOptions = DEFAULTS,
        *,
        files: bool = False,
    ) -> Laid:
        """The first of three steps of a call: reads a pair and lays both on one grid, for example in another thread.

        Args:
            ir: As in a call.
            vis: As in a call.
            options: What is asked for.
            files: Whether floats beyond [0, 1] in a TIFF are degrees Celsius, as on the command line.

        Raises:
            UserError: If something cannot be read or used, or the sizes differ.
        """
        return lay_sources(ir, vis, options, self.to_picture, self.note, files=files)

    def fuse_laid(self, laid: Laid, options: FuseOptions = DEFAULTS) -> Result:
        """Fuses what :meth:`lay` gave; where its infrared picture does not reach, the visible one stays."""
        with _memory_errors():
            return self.finish(self.fused_luma(laid, options), laid, options)

    def fused_luma(
        self, laid: Laid, options: FuseOptions = DEFAULTS, lumas: tuple[Pixels, Pixels] | None = None
    ) -> Pixels:
        """The second step: ``(B, 1, H, W)`` floats in [0, 1]; ``lumas`` if they are known already.

        Raises:
            UserError: If the sizes differ.
        """
        check_same_size(laid.ir, laid.vis)
        self._tell(laid.ir, laid.vis)
        ir, vis = lumas or self.lumas(laid)
        fused = window(ir, vis, options.pip) if options.pip else self.fuse_luma(ir, vis)
        return covered(stretched(fused) if self.stretch else fused, vis, laid.cover)

    def lumas(self, laid: Laid) -> tuple[Pixels, Pixels]:
        """What the network is given: both lumas, ``(B, 1, H, W)`` floats in [0, 1], of the kind of ``vis``."""
        luma = laid.vis.luma()
        return as_kind_of(laid.ir.luma(), luma), luma

    def finish(self, luma: Pixels, laid: Laid, options: FuseOptions) -> Result:
        """The last step: levels, colour and depth."""
        if options.levels is not None:
            low, high = options.levels
            luma = ((luma - low) / (high - low)).clip(0, 1)
        dtype = pictures.result_dtype(laid.vis, options.depth)
        return pictures.to_result(
            luma, like=laid.vis, colour=_colour_of(laid.ir, laid.vis, options.chroma), dtype=dtype
        )

    def at_once(self, height: int, width: int) -> int:
        """How many pictures of a size fit into the memory that is free now, at least one."""
        return int(max(1, min(1024, self._pixels_that_fit() / (height * width))))

    def side_by_side(self, count: int) -> list[Fuser]:
        """Fusers for up to so many threads, each of which fuses pictures on a core of its own; results are the same.

        Returns:
            One a thread, fewer where the runtime is better off with all cores on one picture.
        """
        fusers = []
        for backend in self.backend.side_by_side(count):
            fuser = copy.copy(self)
            fuser.backend = backend
            fusers.append(fuser)
        return fusers

    def _tell(self, ir: Picture, vis: Picture) -> None:
        """Says what is worth knowing about two pictures, each kind once a side."""
        said = {f"ir {kind}": text for kind, text in ir.notes.items()}
        said |= {f"vis {kind}": text for kind, text in vis.notes.items()} | {"ir colours": colour_note(ir, vis)}
        for key, text in said.items():
            if text and key not in self._said:
                self._said[key] = True
                self.note(ResultNote(text))

    def fuse_luma(self, ir: Pixels, vis: Pixels) -> Pixels:
        """Fuses ``(B, 1, H, W)`` floats in [0, 1], in tiles where it was asked or memory is short.

        Returns:
            The same shape, in [0, 1], float32; a tensor on its device if ``vis`` is one, else a numpy array.
        """
        if self.tile is not None:
            return self._tiled(ir, vis, self.tile)
        batch, _, height, width = vis.shape
        fitting = self._pixels_that_fit()
        if batch > 1 and batch * height * width > fitting:
            alone = [self.fuse_luma(ir[k : k + 1], vis[k : k + 1]) for k in range(batch)]
            return namespace(vis).concat(alone, axis=0)
        side = max(height, width)
        tile = side if height * width <= fitting else max(SMALLEST_TILE, isqrt(int(fitting)) // 32 * 32)
        while True:
            try:
                with _memory_errors():
                    return self._tiled(ir, vis, tile)
            except _OutOfMemoryError:
                if tile <= SMALLEST_TILE:
                    raise
            gc.collect()  # maps of the failed call that an error's traceback holds in a ring
            tile = max(SMALLEST_TILE, min(tile, side) // 2)

    def _tiled(self, ir: Pixels, vis: Pixels, tile: int) -> Pixels:
        """In tiles, or as a whole if one tile is enough."""
        height, width = vis.shape[-2:]
        if max(height, width) <= tile:
            return self._run(ir, vis)
        reach, overlap = self.backend.reach, min(OVERLAP, tile // 4)
        if reach is not None and tile >= exact_tile(reach):
            count = exact_tile_count(height, width, tile=tile, reach=reach)
            fuse = partial(fuse_tiled_exactly, reach=reach)
        else:
            count = tile_count(height, width, tile=tile, overlap=overlap)
            fuse = partial(fuse_tiled, overlap=overlap)
        if self.tile is None:
            tiles = f"fused in {count} tiles of {tile} pixels"
            self.note(ResultNote(f"{width}x{height} does not fit into the free memory: {tiles}"))
        return fuse(self._run, ir, vis, tile=tile)

    def _run(self, ir: Pixels, vis: Pixels) -> Pixels:
        """The model on one batch."""
        with _memory_errors():
            fused = as_kind_of(self.backend.run(ir, vis), vis)
        if not namespace(fused).isfinite(fused).all():
            raise UserError(
                f"the model gave NaN or infinite values in {self.backend.precision}; try --precision float32"
            )
        return fused.clip(0, 1)

    def _pixels_that_fit(self) -> float:
        """How many pixels can be fused at once in the memory that is free now."""
        free = available_bytes(self.device)
        return float("inf") if free is None else SHARE * free / self.backend.bytes_per_pixel

    def to_picture(self, source: Source | Picture, side: str, given: Given = None) -> Picture:
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
        option: Side = "ir" if side == "infrared" else "vis"
        return pictures.to_picture(source, name=name, side=option, given=given, max_pixels=self.max_pixels)


class _OutOfMemoryError(UserError):
    """An allocation failed."""


@contextmanager
def _memory_errors() -> Iterator[None]:
    """Turns a failed allocation into one line; torch raises a plain ``RuntimeError`` for it on a CPU."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            remedy = "use (smaller) tiles with --tile, a smaller picture, or close other programs"
            raise _OutOfMemoryError(f"not enough memory: {remedy}") from error
        raise


def _colour_of(ir: Picture, vis: Picture, chroma: str) -> Picture | None:
    """Whose chroma the result has: the coloured one's, and of two coloured ones that of ``chroma``."""
    coloured = [side for side in (vis, ir) if not side.is_grey]
    return coloured[-1 if chroma == "ir" else 0] if coloured else None
