"""What is measured: one model on one runtime at one size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from cmmdl.errors import UsageError
from cmmdl.runtimes.choice import BACKENDS, installed


@dataclass(frozen=True)
class Case:
    """One row of a benchmark. All but the size are arguments of `cmmdl.Fuser`.

    Attributes:
        model: A name, weights file or exported file.
        backend: ``torch``, ``onnxruntime``, ``openvino`` or ``auto``.
        precision: ``auto``, ``float32``, ``bfloat16`` or ``float64``.
        width: Of the pictures, in pixels.
        height: Of the pictures, in pixels.
        threads: CPU threads; None is the default of `cmmdl.Fuser`.
        device: ``auto``, ``cpu``, ``cuda``, ...
        tile: Side of tiles in pixels, None if fused whole.
    """

    model: str
    backend: str = "auto"
    precision: str = "auto"
    width: int = 640
    height: int = 480
    threads: int | None = None
    device: str = "auto"
    tile: int | None = None

    @property
    def size(self) -> str:
        """Such as ``640x480``, width first."""
        return f"{self.width}x{self.height}"

    @property
    def megapixels(self) -> float:
        """Pixels of a picture in millions."""
        return self.width * self.height / 1e6

    @property
    def words(self) -> tuple[str, ...]:
        """What tells a row from others: model, backend, size, and whatever else was asked for."""
        words = [self.model, self.backend, self.size]
        words += [self.precision] if self.precision != "auto" else []
        words += [f"threads={self.threads}"] if self.threads else []
        words += [self.device] if self.device != "auto" else []
        words += [f"tile={self.tile}"] if self.tile else []
        return tuple(words)

    def __str__(self) -> str:
        return " ".join(self.words)


def cases_of(
    models: Sequence[str],
    backends: Sequence[str] = (),
    sizes: Sequence[tuple[int, int]] = ((640, 480),),
    precisions: Sequence[str] = ("auto",),
    threads: Sequence[int | None] = (None,),
    *,
    device: str = "auto",
    tile: int | None = None,
) -> list[Case]:
    """Every combination, models slowest.

    Args:
        models: Names or files.
        backends: Empty for all installed ones that can run the model.
        sizes: Width and height.
        precisions: As in `Case`.
        threads: As in `Case`.
        device: As in `Case`.
        tile: As in `Case`.
    """
    return [
        Case(model, backend, precision, *size, count, device, tile)
        for model in models
        for size, precision, count, backend in product(sizes, precisions, threads, backends or backends_of(model))
    ]


def backends_of(model: str) -> list[str]:
    """The installed runtimes that can run a model, or torch if there are none."""
    able = {".onnx": ("onnxruntime", "openvino"), ".xml": ("openvino",)}.get(Path(model).suffix, BACKENDS[1:])
    return [name for name in able if installed(name)] or [able[0]]


def parse_size(text: str) -> tuple[int, int]:
    """``640x480`` as width and height.

    Raises:
        UserError: If it is anything else.
    """
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) > 0 and int(height) > 0):
        raise UsageError(f"size {text!r} is not WIDTHxHEIGHT; give it in pixels, such as --size 640x480")
    return int(width), int(height)
