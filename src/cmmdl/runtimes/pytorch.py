"""PyTorch: any module, any device and precision that torch has."""

from __future__ import annotations

import torch
from torch import nn

from cmmdl.files.arrays import Pixels, is_tensor
from cmmdl.models.allocator import reuse_memory
from cmmdl.models.cmmdl import CMMDL
from cmmdl.runtimes.base import Backend
from cmmdl.runtimes.device import describe_device, find_device
from cmmdl.runtimes.memory import BYTES_PER_PIXEL, BYTES_PER_PIXEL_WHOLE, BYTES_PER_PIXEL_WITHOUT_WEIGHTS


class TorchBackend:
    """A torch module, as a `cmmdl.runtimes.Backend`.

    Args:
        model: Called ``model(ir, vis)``; it is moved, and put into eval mode. If it has a method ``merged``, which
            gives a simpler module for inference, that one is used.
        device: ``"auto"`` is the first GPU if there is one, else the CPU; or any torch device.
        precision: ``"float32"``, ``"float64"``, or ``"bfloat16"`` through autocast.
        threads: CPU threads, for the whole process; ``None`` leaves them as they are.

    Raises:
        UserError: If there is no such device.
    """

    name = "torch"

    def __init__(
        self,
        model: nn.Module,
        *,
        device: str | torch.device = "auto",
        precision: str = "float32",
        threads: int | None = None,
    ) -> None:
        self.device = find_device(device)
        self.precision = precision
        if threads is not None:
            torch.set_num_threads(threads)
        if self.device.type == "cpu":
            reuse_memory()
        model = merged(model)
        self.dtype = torch.float64 if precision == "float64" else torch.float32
        self.model = model.to(self.device, self.dtype).eval()
        self.reach: int | None = getattr(model, "reach", None)
        self.bytes_per_pixel = bytes_per_pixel(model, self.device) * self.dtype.itemsize / 4

    def run(self, ir: Pixels, vis: Pixels) -> Pixels:
        """Fuses ``(B, 1, H, W)`` float32; a tensor of that shape on the backend's device comes back."""
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")
        try:
            with torch.no_grad(), autocast:
                return self.model(self._tensor(ir), self._tensor(vis)).to(torch.float32)
        except RuntimeError as error:
            if any(words in str(error) for words in ("out of memory", "can't allocate memory", "not enough memory")):
                raise MemoryError(str(error)) from error
            raise

    def describe(self) -> str:
        """The device in words."""
        return describe_device(self.device)

    def side_by_side(self, count: int) -> list[Backend]:
        """Itself: torch has one pool of threads for the whole process, and a GPU one queue."""
        return [self]

    def _tensor(self, pixels: Pixels) -> torch.Tensor:
        return (pixels if is_tensor(pixels) else torch.from_numpy(pixels)).to(self.device, self.dtype)


def merged(model: nn.Module) -> nn.Module:
    """The simpler module for inference that a module gives by a method of that name, or the module itself."""
    merge = getattr(model, "merged", None)
    return merge() if merge is not None else model


def bytes_per_pixel(model: nn.Module, device: torch.device) -> float:
    """Peak memory of a module for each pixel in float32; a module may say it by an attribute of that name."""
    if hasattr(model, "bytes_per_pixel"):
        return float(model.bytes_per_pixel)  # type: ignore[arg-type]
    if next(model.parameters(), None) is None:
        return BYTES_PER_PIXEL_WITHOUT_WEIGHTS
    return BYTES_PER_PIXEL if isinstance(model, CMMDL) and device.type == "cpu" else BYTES_PER_PIXEL_WHOLE
