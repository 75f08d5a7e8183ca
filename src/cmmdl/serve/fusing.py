"""From the bytes of an upload to the bytes of an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from cmmdl.errors import UsageError
from cmmdl.files.arrays import Pixels, is_float
from cmmdl.files.images import encode
from cmmdl.files.inmemory import as_file
from cmmdl.files.ranges import settled
from cmmdl.fusion.fuser import Fuser
from cmmdl.fusion.options import FuseOptions
from cmmdl.serve.jobs import check_time
from cmmdl.serve.settings import Settings

Format = Literal["png", "jpeg", "tiff"]

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
    fuser: TimedFuser, ir: Upload, vis: Upload, options: FuseOptions, kind: Format, *, stretch: bool
) -> Answer:
    """Fuses two uploaded pictures.

    Args:
        fuser: Does the work; called by one thread at a time.
        ir: Infrared, or MRI.
        vis: Visible, or CT, PET, SPECT.
        options: As in the command line.
        kind: Format of the answer.
        stretch: Stretch the result to the full range.

    Raises:
        UserError: If a picture cannot be read or used.
    """
    start, notes = time.perf_counter(), list[str]()
    fuser.stretch = stretch
    fuser.listen(notes)
    try:
        with ExitStack() as stack:
            paths = [stack.enter_context(as_file(upload.data, upload.name)) for upload in (ir, vis)]
            options = _with_ranges(options, paths, fuser)
            one, two = (
                fuser.take(paths[0], "infrared", options.ir_range),
                fuser.take(paths[1], "visible", options.vis_range),
            )
            if kind != "tiff" and is_float(two.pixels) and options.depth is None:
                options = replace(options, depth="uint16")
            if kind == "jpeg":
                options = replace(options, depth="uint8")
            fused = fuser.fuse(one, two, options)
    finally:
        fuser.note = _nobody
    assert isinstance(fused, np.ndarray)
    for upload, path in zip((ir, vis), paths, strict=True):
        notes = [text.replace(str(path), upload.name) for text in notes]
    data = encode(Path(f"fused{SUFFIXES[kind]}"), fused)
    size = (fused.shape[1], fused.shape[0])
    return Answer(data, f"image/{kind}", tuple(dict.fromkeys(notes)), time.perf_counter() - start, size)


def _with_ranges(options: FuseOptions, paths: list[Path], fuser: TimedFuser) -> FuseOptions:
    """The options with ranges taken from the pictures where that was asked, which is noted."""
    ir_range, notes = settled(options.ir_range, paths[:1], "ir", max_pixels=fuser.max_pixels)
    vis_range, more = settled(options.vis_range, paths[1:], "vis", max_pixels=fuser.max_pixels)
    for text in [*notes, *more]:
        fuser.note(text)
    return replace(options, ir_range=ir_range, vis_range=vis_range)


def _collect(notes: list[str]) -> Callable[..., None]:
    def note(text: str, *_: object) -> None:
        notes.append(str(text))

    return note


def _nobody(text: str, *_: object) -> None:
    """Nobody listens between two requests."""
