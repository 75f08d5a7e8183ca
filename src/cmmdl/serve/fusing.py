"""From the bytes of an upload to the bytes of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UsageError
from cmmdl.files.arrays import Pixels
from cmmdl.files.inmemory import as_file
from cmmdl.files.pictures import result_dtype
from cmmdl.files.ranges import settled
from cmmdl.fusion.folder import depth_that_fits, doubt
from cmmdl.fusion.fuser import Fuser
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.products import Products, Sources, check, write_products
from cmmdl.fusion.sources import is_celsius_tiff
from cmmdl.serve.jobs import check_time
from cmmdl.serve.settings import Settings

Format = Literal["png", "jpeg", "tiff"]

WITH_METADATA = Products()
"""The picture with what the visible one carries, and what was done."""

SUFFIXES: dict[Format, str] = {"png": ".png", "jpeg": ".jpg", "tiff": ".tif"}


@dataclass(frozen=True)
class Upload:
    """An uploaded file: its name, for messages, and its content."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Answer:
    """A fused picture, encoded.

    Attributes:
        data: The file.
        media_type: For example ``image/png``.
        notes: What the fuser had to say.
        seconds: How long it took.
        size: Width and height.
    """

    data: bytes
    media_type: str
    notes: tuple[str, ...]
    seconds: float
    size: tuple[int, int]


class TimedFuser(Fuser):
    """A fuser that looks at the clock before each tile, and says to every request what it has to say."""

    def listen(self, notes: list[str]) -> None:
        """Collects from now on, as if nothing had been said before."""
        self._said.clear()
        self.note = _collect(notes)

    def _run(self, ir: Pixels, vis: Pixels) -> Pixels:
        check_time()
        return super()._run(ir, vis)


class Fusers:
    """One fuser for each model and stretch, opened when it is first asked for and shared from then on.

    Args:
        settings: Models and limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: dict[str, TimedFuser] = {}

    def get(self, model: str) -> TimedFuser:
        """The fuser of a model.

        Raises:
            UsageError: If the server does not offer it.
        """
        if model not in self.settings.models:
            raise UsageError(f"model {model!r} is not offered here; choose one of {', '.join(self.settings.models)}")
        if model not in self._open:
            limits: dict[str, Any] = {"max_pixels": self.settings.max_pixels, "threads": self.settings.threads}
            self._open[model] = TimedFuser(model, device=self.settings.device, note=_nobody, **limits)
        return self._open[model]


def fuse_uploads(
    fuser: TimedFuser,
    ir: Upload,
    vis: Upload | None,
    options: FuseOptions,
    kind: Format,
    *,
    stretch: bool = False,
    products: Products = WITH_METADATA,
) -> Answer:
    """Fuses two uploaded pictures, or one file that holds both.

    Args:
        fuser: Does the work; called by one thread at a time.
        ir: Infrared, or MRI; or a radiometric file with its photo.
        vis: Visible, or CT, PET, SPECT; None if ``ir`` holds it.
        options: As in the command line.
        kind: Format of the answer.
        stretch: Stretch the result to the full range.
        products: Paint and metadata.

    Raises:
        UserError: If a picture cannot be read or used.
    """
    start, notes = time.perf_counter(), list[str]()
    fuser.stretch = stretch
    fuser.listen(notes)
    try:
        with ExitStack() as stack:
            uploads = [ir] if vis is None else [ir, vis]
            paths = [stack.enter_context(as_file(upload.data, upload.name)) for upload in uploads]
            folder = Path(stack.enter_context(TemporaryDirectory(prefix="cmmdl-", dir=_memory())))
            fused, data = _fused(fuser, paths, folder / f"fused{SUFFIXES[kind]}", options, products)
    finally:
        fuser.note = _nobody
    for upload, path in zip(uploads, paths, strict=True):
        notes = [text.replace(str(path), upload.name) for text in notes]
    size = (fused.shape[1], fused.shape[0])
    return Answer(data, f"image/{kind}", tuple(dict.fromkeys(notes)), time.perf_counter() - start, size)


def _fused(
    fuser: TimedFuser, paths: list[Path], out: Path, options: FuseOptions, products: Products
) -> tuple[NDArray[Any], bytes]:
    """The fused picture, and the file that it becomes with everything that belongs into it."""
    options = _with_ranges(options, paths, fuser)
    laid = fuser.lay(paths[0], paths[1] if len(paths) > 1 else None, options, files=True)
    check(laid, products, options, str(paths[0]))
    if laid.alignment is None and (seen := doubt(laid.ir, laid.vis)):
        fuser.note(f"{paths[0]}: looks {seen}")
    jpeg = "uint8" if out.suffix == ".jpg" else None
    depth = jpeg or options.depth or depth_that_fits(laid.vis, out, fuser.note) or result_dtype(laid.vis, None)
    fused = fuser.fuse_laid(laid, replace(options, depth="float32" if products.paints else depth))
    assert isinstance(fused, np.ndarray)
    write_products(laid, fused, Sources(paths[0], paths[-1], out, "fused"), products, options, depth, fuser.note)
    return fused, out.read_bytes()


def _memory() -> str | None:
    """A folder in memory where the system has one; the system's temporary folder elsewhere."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _with_ranges(options: FuseOptions, paths: list[Path], fuser: TimedFuser) -> FuseOptions:
    """The options with ranges taken from the pictures where that was asked, which is noted."""
    if len(paths) == 1 or is_celsius_tiff(paths[0]):
        return options
    ir_range, notes = settled(options.ir_range, paths[:1], "ir", max_pixels=fuser.max_pixels)
    vis_range, more = settled(options.vis_range, paths[1:] or paths, "vis", max_pixels=fuser.max_pixels)
    for text in [*notes, *more]:
        fuser.note(text)
    return replace(options, ir_range=ir_range, vis_range=vis_range)


def _collect(notes: list[str]) -> Callable[..., None]:
    def note(text: str, *_: object) -> None:
        notes.append(str(text))

    return note


def _nobody(text: str, *_: object) -> None:
    """Nobody listens between two requests."""
