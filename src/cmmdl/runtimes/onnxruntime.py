"""ONNX Runtime on the CPU: an exported network without torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cmmdl.errors import UserError
from cmmdl.files.arrays import Pixels
from cmmdl.runtimes.base import Backend
from cmmdl.runtimes.device import cpu_name, cpu_threads
from cmmdl.runtimes.memory import BYTES_PER_PIXEL_WHOLE
from cmmdl.runtimes.signature import Signature, from_text, sides_of


class OnnxBackend:
    """An ``.onnx`` file, as a `cmmdl.runtimes.Backend`.

    ONNX Runtime keeps freed memory for the next picture, which saves a quarter of the time; its plan of where in memory
    each map will lie is off, since with it more is kept than is needed. Threads that wait sleep: where they spin, as by
    default, a fifth of a frame's processor time is waiting, and on a busy computer the frame takes longer too.

    Args:
        path: Has two inputs, ``ir`` and ``vis``, of ``(B, 1, H, W)`` float32.
        threads: CPU threads; ``None`` asks `cmmdl.runtimes.device.cpu_threads`.

    Raises:
        UserError: If ONNX Runtime is not installed, or the file is not such a network.
    """

    name = "onnxruntime"
    device = "cpu"
    model = None

    def __init__(self, path: str | Path, *, threads: int | None = None) -> None:
        ort = import_onnxruntime()
        self._arguments = (path, threads)
        self.threads = threads or cpu_threads()
        try:
            self.session = ort.InferenceSession(Path(path).read_bytes(), self._options(ort), ["CPUExecutionProvider"])
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror or error}") from error
        except Exception as error:  # ONNX Runtime has a dozen of its own
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{path}: not a network that ONNX Runtime can run ({reason}); export it again") from error
        self.signature = _signature(self.session, str(path))
        self.precision = self.signature.precision
        self.reach = self.signature.reach
        self.bytes_per_pixel = self.signature.bytes_per_pixel or BYTES_PER_PIXEL_WHOLE

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, self._arguments

    def _options(self, ort: Any) -> Any:
        options = ort.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        options.enable_mem_pattern = False
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def run(self, ir: Pixels, vis: Pixels) -> NDArray[Any]:
        """Fuses ``(B, 1, H, W)`` float32."""
        inputs = self.signature.inputs(ir, vis)
        try:
            return self.session.run(None, inputs)[0]
        except Exception as error:
            if "alloc" in str(error):
                raise MemoryError(str(error)) from error
            raise

    def side_by_side(self, count: int) -> list[Backend]:
        """One session of one thread, which the threads that call it bring themselves."""
        return [OnnxBackend(self._arguments[0], threads=1)] * count if count > 1 else [self]

    def describe(self) -> str:
        """The device and the runtime in words."""
        return f"cpu ({cpu_name()}, {self.threads} threads, ONNX Runtime)"


def import_onnxruntime() -> Any:
    """The module of ONNX Runtime, which sends nothing home from then on.

    Raises:
        UserError: If it is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise UserError('ONNX Runtime is not installed: pip install "cmmdl[onnx]"') from error
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _signature(session: Any, name: str) -> Signature:
    """What the file says of itself, once its inputs are seen to be right."""
    inputs = {put.name: (put.type, tuple(put.shape)) for put in session.get_inputs()}
    if set(inputs) != {"ir", "vis"} or any(kind != "tensor(float)" for kind, _ in inputs.values()):
        told = ", ".join(f"{key} {shape} of {kind}" for key, (kind, shape) in inputs.items())
        raise UserError(f"{name}: has the inputs {told}; two float inputs ir and vis of (B, 1, H, W) are needed")
    shape = sides_of(inputs["vis"][1], name)
    return from_text(dict(session.get_modelmeta().custom_metadata_map), name, shape)


def _reopen(path: str | Path, threads: int | None) -> OnnxBackend:
    """A backend as it was before it was pickled."""
    return OnnxBackend(path, threads=threads)
