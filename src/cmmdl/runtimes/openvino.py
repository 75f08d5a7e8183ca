"""OpenVINO on the CPU: an exported network (``.xml`` beside its ``.bin``, or ``.onnx``) without torch."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cmmdl.errors import UserError
from cmmdl.files.arrays import Pixels
from cmmdl.runtimes.base import Backend
from cmmdl.runtimes.device import cpu_name, cpu_threads
from cmmdl.runtimes.memory import BYTES_PER_PIXEL_WHOLE
from cmmdl.runtimes.signature import Signature, from_text, sides_of


class OpenVinoBackend:
    """An exported network, as a `cmmdl.runtimes.Backend`.

    A request of OpenVINO holds the pictures it works on, so each thread has one of its own. A pickled backend opens its
    file again.

    Args:
        path: An ``.xml`` file of OpenVINO, whose ``.bin`` lies beside it, or an ``.onnx`` file; with two inputs
            ``ir`` and ``vis`` of ``(B, 1, H, W)`` float32.
        threads: CPU threads; ``None`` asks `cmmdl.runtimes.device.cpu_threads`.
        streams: Pictures that are computed at once, each on its share of the threads.
        bfloat16: Compute in bfloat16 where the processor can. OpenVINO would do so by itself; here it is asked for.

    Raises:
        UserError: If OpenVINO is not installed, or the file is not such a network.
    """

    name = "openvino"
    device = "cpu"
    model = None

    def __init__(
        self, path: str | Path, *, threads: int | None = None, bfloat16: bool = False, streams: int = 1
    ) -> None:
        core = import_openvino().Core()
        self._arguments = (path, threads, bfloat16, streams)
        self.threads = threads or cpu_threads()
        model = read_network(core, Path(path))
        self.signature = _signature(model, str(path))
        self.precision = "bfloat16" if bfloat16 else self.signature.precision
        self.reach = self.signature.reach
        self.bytes_per_pixel = self.signature.bytes_per_pixel or BYTES_PER_PIXEL_WHOLE
        settings = {
            "INFERENCE_NUM_THREADS": self.threads,
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        }
        apart = {"NUM_STREAMS": streams, "ENABLE_CPU_PINNING": False}
        settings |= {"PERFORMANCE_HINT": "LATENCY"} if streams == 1 else apart
        self._compiled = core.compile_model(model, "CPU", settings)
        self._requests = threading.local()
        self._beside: dict[int, Backend] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self._arguments

    def _request(self) -> Any:
        """The request of this thread."""
        if not hasattr(self._requests, "mine"):
            self._requests.mine = self._compiled.create_infer_request()
        return self._requests.mine

    def side_by_side(self, count: int) -> list[Backend]:
        """The network compiled anew, once, with a stream for each thread; none is tied to a core."""
        if count < 2:
            return [self]
        if count not in self._beside:
            path, _, bfloat16, _ = self._arguments
            self._beside[count] = OpenVinoBackend(path, threads=count, bfloat16=bfloat16, streams=count)
        return [self._beside[count]] * count

    def run(self, ir: Pixels, vis: Pixels) -> NDArray[Any]:
        """Fuses ``(B, 1, H, W)`` float32."""
        inputs = self.signature.inputs(ir, vis)
        try:
            return self._request().infer(inputs, share_inputs=True)[0]
        except RuntimeError as error:
            if "alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise

    def describe(self) -> str:
        """The device and the runtime in words."""
        return f"cpu ({cpu_name()}, {self.threads} threads, OpenVINO)"


def import_openvino() -> Any:
    """The module of OpenVINO.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import openvino
    except ImportError as error:
        raise UserError('OpenVINO is not installed: pip install "cmmdl[openvino]"') from error
    return openvino


def read_network(core: Any, path: Path) -> Any:
    """Reads an ``.xml`` or ``.onnx`` file.

    Raises:
        UserError: If there is none, its ``.bin`` is missing, or it is damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: there is no such file; check the path")
    if path.suffix.lower() == ".xml" and not path.with_suffix(".bin").is_file():
        raise UserError(f"{path}: its weights {path.with_suffix('.bin').name} are not beside it; copy both files")
    try:
        return core.read_model(str(path))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[-200:]
        raise UserError(f"{path}: not a network that OpenVINO can run ({reason}); export it again") from error


def _signature(model: Any, name: str) -> Signature:
    """What the file says of itself, once its inputs are seen to be right."""
    inputs = {put.get_any_name(): put for put in model.inputs}
    if set(inputs) != {"ir", "vis"} or any(put.element_type.get_type_name() != "f32" for put in inputs.values()):
        told = ", ".join(f"{key} {put.partial_shape} of {put.element_type}" for key, put in inputs.items())
        raise UserError(f"{name}: has the inputs {told}; two float inputs ir and vis of (B, 1, H, W) are needed")
    sides = [side.get_length() if side.is_static else None for side in inputs["vis"].partial_shape]
    return from_text(_metadata(model), name, sides_of(sides, name))


def _metadata(model: Any) -> dict[str, str]:
    """What ``cmmdl export`` wrote: of an ``.xml`` its runtime information, of an ``.onnx`` its metadata."""
    for path in (["framework"], ["cmmdl"]):
        if model.has_rt_info(path):
            found = model.get_rt_info(path).value
            return {key if "." in key else f"cmmdl.{key}": str(value) for key, value in found.items()}
    return {}


def _reopen(path: str | Path, threads: int | None, bfloat16: bool, streams: int) -> OpenVinoBackend:
    """A backend as it was before it was pickled."""
    return OpenVinoBackend(path, threads=threads, bfloat16=bfloat16, streams=streams)
