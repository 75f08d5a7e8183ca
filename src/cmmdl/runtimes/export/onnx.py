"""A torch module as an ONNX file of free batch, height and width."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import torch
from torch import nn

from cmmdl.errors import UserError
from cmmdl.runtimes.export.spectra import with_matrices

OPSET = 20
"""Version of the ONNX operators; ONNX Runtime 1.17 and newer run it."""


def to_onnx(model: nn.Module, metadata: dict[str, str]) -> bytes:
    """The bytes of an ``.onnx`` file with inputs ``ir`` and ``vis`` and output ``fused``, all ``(B, 1, H, W)`` float32.

    Args:
        model: In eval mode, on the CPU, called ``model(ir, vis)``.
        metadata: Kept in the file.

    Raises:
        UserError: If the exporter is not installed, or the module cannot be traced.
    """
    onnx = import_exporter()
    axes = {0: "batch", 2: "height", 3: "width"}
    example = torch.rand(2, 1, 45, 70), torch.rand(2, 1, 45, 70)
    try:
        with warnings.catch_warnings(), _quiet(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                with_matrices(model),
                example,
                dynamo=True,
                opset_version=OPSET,
                input_names=["ir", "vis"],
                output_names=["fused"],
                dynamic_shapes=(axes, axes),
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        reason = " ".join(str(error.__cause__ or error).split())[:200]
        raise UserError(f"{type(model).__name__} cannot be exported: {reason}") from error
    assert program is not None
    proto = _without_traces(program.model_proto)
    proto.producer_name, proto.producer_version = "cmmdl", metadata.get("cmmdl.version", "")
    onnx.helper.set_model_props(proto, metadata)
    return proto.SerializeToString()


def import_exporter() -> Any:
    """The module ``onnx``, with torch's exporter ready to use.

    Raises:
        UserError: If something that it needs is not installed.
    """
    try:
        import onnx
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise UserError(f'exporting needs {error.name}: pip install "cmmdl[export]"') from error
    return onnx


def _without_traces(proto: Any) -> Any:
    """Takes out what the exporter notes about where each operator came from: paths and lines of programs."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return proto


class _quiet:  # noqa: N801
    """Silences what the exporter logs."""

    def __enter__(self) -> None:
        self.level = logging.root.manager.disable
        logging.disable(logging.WARNING)

    def __exit__(self, *_: object) -> None:
        logging.disable(self.level)
