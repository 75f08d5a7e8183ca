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

from cmmdl.errors import UsageError
from cmmdl.files.arrays import Pixels
from cmmdl.files.images import encode
from cmmdl.files.inmemory import as_file
from cmmdl.files.pictures import Picture, result_dtype, to_result
from cmmdl.files.ranges import settled
from cmmdl.fusion.folder import depth_that_fits, doubt
from cmmdl.fusion.fuser import Fuser
from cmmdl.fusion.laid import Laid
from cmmdl.fusion.options import FuseOptions
from cmmdl.fusion.products import Products, Sources, check, write_products
from cmmdl.fusion.sources import settled_celsius
from cmmdl.serve.jobs import time_check
from cmmdl.serve.settings import Settings

Format = Literal["png", "jpeg", "tiff"]
Shown = Literal["fused", "ir", "vis"]

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


TILE = 1024
"""Side in pixels of the tiles of a network that gives the same in tiles; the clock is looked at before each."""


class TimedFuser(Fuser):
    """A fuser that looks at the clock before each tile or band, and says to every request what it has to say."""

    def __init__(self, model: str, **options: Any) -> None:
        super().__init__(model, **options)
        if self.backend.reach is not None:
            self.tile = TILE

    def listen(self, notes: list[str]) -> None:
        """Collects from now on, as if nothing had been said before."""
        self._said.clear()
        self.note = _collect(notes)

    def _run(self, ir: Pixels, vis: Pixels) -> Pixels:
        check = time_check()
        check()
        if self.backend.name != "torch":
            return super()._run(ir, vis)
        from cmmdl.models.crew import checking

        before = checking.set(check)
        try:
            return super()._run(ir, vis)
        finally:
            checking.reset(before)


class Fusers:
    """One fuser for each model and stretch, opened when it is first asked for and shared from then on.

    Args:
        settings: Models and limits.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._open: dict[str, TimedFuser] = {}

    def check(self, model: str) -> None:
        """Refuses a model that the server does not offer.

        Raises:
            UsageError: If it does not.
        """
        if model not in self.settings.models:
            raise UsageError(f"model {model!r} is not offered here; choose one of {', '.join(self.settings.models)}")

    def get(self, model: str) -> TimedFuser:
        """The fuser of a model that the server offers; opening one can take seconds."""
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
    show: Shown = "fused",
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
        show: The fused picture, or a source as it is laid on the other one: a PNG of 8 bits.

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
            options = _with_ranges(options, paths, fuser)
            laid = fuser.lay(paths[0], paths[1] if len(paths) > 1 else None, options, files=True)
            if show == "fused":
                sources = Sources(paths[0], paths[-1], folder / f"fused{SUFFIXES[kind]}", "fused")
                data = _fused(fuser, laid, sources, options, products)
            else:
                kind, data = "png", _source(laid.ir if show == "ir" else laid.vis)
    finally:
        fuser.note = _nobody
    for upload, path in zip(uploads, paths, strict=True):
        notes = [text.replace(str(path), upload.name) for text in notes]
    return Answer(data, f"image/{kind}", tuple(dict.fromkeys(notes)), time.perf_counter() - start, laid.vis.size[::-1])


def _fused(fuser: TimedFuser, laid: Laid, sources: Sources, options: FuseOptions, products: Products) -> bytes:
    """The file that a pair becomes, with everything that belongs into it."""
    check(laid, products, options, str(sources.ir))
    if laid.alignment is None and (seen := doubt(laid.ir, laid.vis)):
        fuser.note(f"{sources.ir}: looks {seen}")
    out = sources.out
    jpeg = "uint8" if out.suffix == ".jpg" else None
    depth = jpeg or options.depth or depth_that_fits(laid.vis, out, fuser.note) or result_dtype(laid.vis, None)
    fused = fuser.fuse_laid(laid, replace(options, depth="float32" if products.paints else depth))
    assert isinstance(fused, np.ndarray)
    write_products(laid, fused, sources, products, options, depth, fuser.note)
    return out.read_bytes()


def _source(picture: Picture) -> bytes:
    """A source as it is laid and ranged, a PNG of 8 bits."""
    colour = None if picture.is_grey else picture
    pixels = to_result(picture.luma(), like=picture, colour=colour, dtype="uint8")
    assert isinstance(pixels, np.ndarray)
    return encode(Path("source.png"), pixels)


def _memory() -> str | None:
    """A folder in memory where the system has one; the system's temporary folder elsewhere."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def _with_ranges(options: FuseOptions, paths: list[Path], fuser: TimedFuser) -> FuseOptions:
    """The options with ranges taken from the pictures where that was asked, which is noted."""
    if options.ir_range in (None, "auto") and (celsius := settled_celsius(paths[:1], options.conditions)):
        fuser.note(celsius[1])
        options = replace(options, ir_range=celsius[0])
    if len(paths) == 1:
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
