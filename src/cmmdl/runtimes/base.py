"""What `Fuser` asks of a runtime."""

from __future__ import annotations

from typing import Any, Protocol

from cmmdl.files.arrays import Pixels


class Backend(Protocol):
    """A network on a runtime.

    Attributes:
        name: ``torch``, ``onnxruntime`` or ``openvino``.
        device: Where it runs; ``"cpu"`` or a torch device.
        precision: What it computes in, for messages.
        bytes_per_pixel: Memory that a pixel takes at the peak.
        reach: Pixels in each direction that an output pixel can depend on, None where that is unknown or all.
        model: The torch module where there is one, else None.
    """

    name: str
    device: Any
    precision: str
    bytes_per_pixel: float
    reach: int | None
    model: Any

    def run(self, ir: Pixels, vis: Pixels) -> Pixels:
        """Fuses one batch.

        Args:
            ir: ``(B, 1, H, W)`` float32 in [0, 1], a numpy array or a tensor.
            vis: Same shape, same kind.

        Returns:
            The same shape, float32, an array of either kind.

        Raises:
            MemoryError: If there is not enough memory.
        """
        ...

    def describe(self) -> str:
        """The device and the runtime in words, for example ``cpu (AMD EPYC 7B13, 2 threads)``."""
        ...

    def side_by_side(self, count: int) -> list[Backend]:
        """The same network for up to so many threads that each fuse a picture, on one core each.

        Returns:
            One backend a thread; fewer where the runtime is better off with all cores on one picture.
        """
        ...
