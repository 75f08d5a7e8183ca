"""PyTorch: any module, any device and precision that torch has."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch
from torch import nn

from cmmdl.errors import UserError
from cmmdl.files.arrays import Pixels, is_tensor
from cmmdl.files.images import Note
from cmmdl.models.allocator import reuse_memory
from cmmdl.models.cmmdl import CMMDL
from cmmdl.models.rt import CMMDLRT
from cmmdl.runtimes.base import Backend
from cmmdl.runtimes.device import cpu_cores, describe_device, find_device
from cmmdl.runtimes.memory import (
    BYTES_PER_PIXEL_WHOLE,
    BYTES_PER_PIXEL_WITHOUT_WEIGHTS,
    bytes_as_a_whole,
    bytes_in_bands,
    is_out_of_memory,
)


class TorchBackend:
    """A torch module, as a `cmmdl.runtimes.Backend`.

    Args:
        model: Called ``model(ir, vis)``; it is moved, and put into eval mode. Of ``CMMDLRT`` its simpler form for
            inference is used.
        device: Any torch device; ``"auto"`` is that of :func:`cmmdl.runtimes.device.automatic_device`, but the CPU for
            what Apple's GPU cannot do.
        precision: ``"float32"``, ``"float64"``, or ``"bfloat16"`` through autocast.
        threads: CPU threads, for the whole process; ``None`` leaves them as they are, but not more than the quota of a
            container grants.
        note: Called with a line if the device is changed.

    Raises:
        UserError: If there is no such device, or it lacks the precision.
    """

    name = "torch"

    def __init__(
        self,
        model: nn.Module,
        *,
        device: str | torch.device = "auto",
        precision: str = "float32",
        threads: int | None = None,
        note: Note = warnings.warn,
    ) -> None:
        self.device, self.precision = find_device(device), precision
        self.threads, self.note = threads, note
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        self.may_move = device == "auto"
        if self.device.type == "mps" and precision == "float64":
            if not self.may_move:
                raise UserError(f"device {self.device} has no float64; use --device cpu, or --precision float32")
            self.device = torch.device("cpu")
        if threads or cpu_cores() < torch.get_num_threads():
            torch.set_num_threads(threads or cpu_cores())
        if self.device.type == "cpu":
            reuse_memory()
        self.model = merged(model).to(self.device, self.dtype).eval()
        self.reach = reach(self.model)
        self.bytes_per_pixel = bytes_per_pixel(self.model, self.device) * self.dtype.itemsize / 4

    def __setstate__(self, state: dict[str, Any]) -> None:
        """In another process: what belongs to a process is set there too."""
        self.__dict__.update(state)
        if self.threads is not None:
            torch.set_num_threads(self.threads)
        if self.device.type == "cpu":
            reuse_memory()

    def run(self, ir: Pixels, vis: Pixels) -> Pixels:
        """Fuses ``(B, 1, H, W)`` float32; a tensor of that shape on the backend's device comes back."""
        try:
            return self._run(ir, vis)
        except (RuntimeError, TypeError) as error:  # NotImplementedError is a RuntimeError
            if is_out_of_memory(error):
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()
                raise MemoryError(str(error)) from error
            if self.device.type == "cpu" or not _cannot_do(error):
                raise
            self._move_to_cpu(error)
        return self._run(ir, vis)

    def _run(self, ir: Pixels, vis: Pixels) -> Pixels:
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        with torch.no_grad(), autocast, whole_float32():
            return self.model(self._tensor(ir), self._tensor(vis)).to(torch.float32)

    def _move_to_cpu(self, error: Exception) -> None:
        """Leaves a device that lacks an operation, if it was chosen by itself.

        Raises:
            UserError: If it was asked for.
        """
        reason = " ".join(str(error).split())[:120]
        if not self.may_move:
            raise UserError(f"device {self.device} cannot run this model ({reason}); use --device cpu") from error
        self.note(f"device {self.device} cannot run this model ({reason}): fused on the CPU")
        self.device = torch.device("cpu")
        self.model = self.model.to(self.device)
        self.bytes_per_pixel = bytes_per_pixel(self.model, self.device)

    def describe(self) -> str:
        """The device in words."""
        return describe_device(self.device)

    def side_by_side(self, count: int) -> list[Backend]:
        """Itself: torch has one pool of threads for the whole process, and a GPU one queue."""
        return [self]

    def _tensor(self, pixels: Pixels) -> torch.Tensor:
        return (pixels if is_tensor(pixels) else torch.from_numpy(pixels)).to(self.device, self.dtype)


@contextmanager
def whole_float32() -> Iterator[None]:
    """Float32 as it is in cuDNN's convolutions, which else round to TF32: that moves pixels by 0.1 grey level.

    The setting is the whole process's: where threads overlap, the first one in changes it and the last one out puts it
    back.
    """
    with _FLOAT32.lock:
        if not _FLOAT32.inside:
            _FLOAT32.before, torch.backends.cudnn.allow_tf32 = torch.backends.cudnn.allow_tf32, False
        _FLOAT32.inside += 1
    try:
        yield
    finally:
        with _FLOAT32.lock:
            _FLOAT32.inside -= 1
            if not _FLOAT32.inside:
                torch.backends.cudnn.allow_tf32 = _FLOAT32.before


class _Float32:
    """Who is in `whole_float32` now, and what to put back after the last."""

    def __init__(self) -> None:
        self.lock, self.inside, self.before = Lock(), 0, True


_FLOAT32 = _Float32()


def _cannot_do(error: Exception) -> bool:
    """Whether an error says that a device lacks an operation or a type, rather than that a program is wrong."""
    text = str(error)
    return isinstance(error, NotImplementedError) or ("MPS" in text and ("support" in text or "implemented" in text))


def merged(model: nn.Module) -> nn.Module:
    """The simpler module for inference of one that has it, or the module itself; modules of others stay as they are."""
    return model.merged() if isinstance(model, CMMDLRT) else model


def reach(model: nn.Module) -> int | None:
    """Pixels in each direction that an output pixel can depend on, None where that is unknown or all."""
    return model.reach if isinstance(model, CMMDLRT) else None


def bytes_per_pixel(model: nn.Module, device: torch.device) -> float:
    """Peak memory of a module for each pixel in float32, by what it is and its width."""
    if isinstance(model, CMMDLRT):
        return model.bytes_per_pixel
    if isinstance(model, CMMDL):
        return (bytes_in_bands if device.type == "cpu" else bytes_as_a_whole)(model.config.width)
    if next(model.parameters(), None) is None:
        return BYTES_PER_PIXEL_WITHOUT_WEIGHTS
    return BYTES_PER_PIXEL_WHOLE
