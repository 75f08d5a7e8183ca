"""From a model to a checked file."""

from __future__ import annotations

import copy
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from torch import device, nn

from cmmdl.errors import UsageError, UserError
from cmmdl.files.atomic import write_bytes
from cmmdl.models.cmmdl import CMMDL
from cmmdl.models.rt import CMMDLRT
from cmmdl.runtimes import Backend
from cmmdl.runtimes.export.agreement import Agreement, check_agreement
from cmmdl.runtimes.export.onnx import import_exporter, to_onnx
from cmmdl.runtimes.export.precision import calibration_pairs, to_float16, to_int8
from cmmdl.runtimes.memory import FLOAT
from cmmdl.runtimes.pytorch import bytes_per_pixel, merged, reach
from cmmdl.runtimes.signature import Signature
from cmmdl.weights.loading import load_model
from cmmdl.weights.resolving import ExportedFile, Model, Module, resolve

FORMATS = ("onnx", "openvino")

SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}

PRECISIONS = ("float32", "float16", "int8")

EXPORTED_MAPS = 42
"""Maps of its width that the exported full network holds at the peak, as measured at 640x480: no bands of rows as in
torch."""


def export_model(
    model: str | Path | nn.Module | Model,
    output: str | Path,
    *,
    format: str = "onnx",
    precision: str = "float32",
    calibration: tuple[Path, Path] | None = None,
    name: str = "",
) -> Agreement:
    """Writes a model as a file for another runtime, and keeps it only if it computes what torch does.

    Batch, height and width stay free. The file says which model and version it is of, how pictures become its inputs,
    and in which precision it computes.

    Args:
        model: A name of `available_models`, a weights file, or a module called ``model(ir, vis)``.
        output: ``.onnx`` for ONNX; ``.xml`` for OpenVINO, which always has its weights in a ``.bin`` beside it.
        format: ``"onnx"`` or ``"openvino"``.
        precision: ``"float32"``; for ``cmmdl-rt`` and ``cmmdl-mif-rt`` also ``"float16"`` and ``"int8"``.
        calibration: Folders of infrared and visible pictures that set the scales of 8-bit numbers; by default
            synthetic scenes.
        name: What the file calls the model; by default the name or the stem of the weights file.

    Returns:
        How far the file is from torch in float32.

    Raises:
        UserError: If the arguments do not fit, something is not installed, or the file differs from torch by more than
            `cmmdl.runtimes.export.agreement.LIMITS`.
    """
    output = Path(output)
    _check_arguments(output, format, precision)
    found = resolve(model)
    module = _inference_module(found)
    if precision != "float32" and not isinstance(module, CMMDLRT):
        raise UsageError(f"{precision} is for cmmdl-rt and cmmdl-mif-rt; the spectra of other networks need float32")
    weights = "" if isinstance(found, Module | ExportedFile) else found.sha256
    facts = Signature(
        str(output),
        name or found.name,
        version("cmmdl"),
        weights,
        precision,
        _bytes_per_pixel(module),
        reach(module),
    )
    data = _in_precision(to_onnx(module, facts.to_text()), precision, calibration, facts)
    with TemporaryDirectory() as folder:
        draft = Path(folder) / f"draft{SUFFIXES[format]}"
        _write(data, draft, format, facts)
        agreement = check_agreement(_opened(draft, format), module, precision)
        for part in (draft.with_suffix(".bin"), draft):  # the .xml last: where it is, its weights are
            if part.exists():
                named = part.suffix == SUFFIXES[format]
                write_bytes(output if named else output.with_suffix(part.suffix), part.read_bytes())
    return agreement


def _check_arguments(output: Path, format: str, precision: str) -> None:
    if format not in FORMATS:
        raise UsageError(f"format {format!r} is unknown; choose from {', '.join(FORMATS)}")
    if precision not in PRECISIONS:
        raise UsageError(f"precision {precision!r} is unknown; choose from {', '.join(PRECISIONS)}")
    if output.suffix.lower() != SUFFIXES[format]:
        raise UsageError(f"{output}: an {format} file ends in {SUFFIXES[format]}; rename the output or change --format")
    if not output.parent.is_dir():
        raise UserError(f"{output}: there is no folder {output.parent}; create it first")


def _inference_module(model: Model) -> nn.Module:
    """A module in eval mode whose branches are merged, where it has such."""
    if isinstance(model, ExportedFile):
        raise UserError(f"{model.path} is already exported; give a name or a .safetensors file")
    return merged(copy.deepcopy(model.module).cpu().eval() if isinstance(model, Module) else load_model(model))


def _bytes_per_pixel(module: nn.Module) -> float:
    """Peak memory of the exported network for each pixel."""
    if isinstance(module, CMMDL):
        return FLOAT * EXPORTED_MAPS * module.config.width
    return bytes_per_pixel(module, device("cpu"))


def _in_precision(data: bytes, precision: str, calibration: tuple[Path, Path] | None, facts: Signature) -> bytes:
    """The ONNX file in that precision, its metadata kept."""
    if precision == "float32":
        return data
    data = to_float16(data) if precision == "float16" else to_int8(data, calibration_pairs(calibration))
    onnx = import_exporter()
    proto = onnx.load_from_string(data)
    onnx.helper.set_model_props(proto, facts.to_text())
    return proto.SerializeToString()


def _write(data: bytes, draft: Path, format: str, facts: Signature) -> None:
    """Writes the draft that is checked."""
    if format == "onnx":
        draft.write_bytes(data)
        return
    from cmmdl.runtimes.openvino import import_openvino

    openvino = import_openvino()
    model = openvino.Core().read_model(data)
    for key, value in facts.to_text().items():
        model.set_rt_info(value, ["cmmdl", key.removeprefix("cmmdl.")])
    openvino.save_model(model, str(draft), compress_to_fp16=False)


def _opened(draft: Path, format: str) -> Backend:
    if format == "onnx":
        from cmmdl.runtimes.onnxruntime import OnnxBackend

        return OnnxBackend(draft)
    from cmmdl.runtimes.openvino import OpenVinoBackend

    return OpenVinoBackend(draft)
