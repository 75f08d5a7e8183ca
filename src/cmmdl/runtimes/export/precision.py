"""Smaller numbers in an ONNX file: float16 weights, or 8-bit convolutions calibrated on pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cmmdl.errors import UserError
from cmmdl.files.pairs import match_folders, nothing_pairs
from cmmdl.files.pictures import to_picture
from cmmdl.files.ranges import RangeRule, Side, settled
from cmmdl.runtimes.export.agreement import scenes
from cmmdl.runtimes.export.onnx import import_exporter

SCENES = ((240, 320),) * 12
"""Synthetic pairs that 8-bit numbers are calibrated on where the user gives no pictures."""

FEW = 8
"""Channels in or out up to which a convolution stays in float32."""

PAIRS = 64
"""Pairs of the user's pictures that are looked at, evenly spread."""

Example = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Infrared and visible picture, by which the ranges of 8-bit maps are found."""


def to_float16(data: bytes) -> bytes:
    """The same network with weights and arithmetic in float16; inputs and output stay float32.

    A processor without half-precision arithmetic computes in float32: the file is half as large, not faster.
    """
    onnx = import_exporter()
    from onnxruntime.transformers.float16 import convert_float_to_float16

    proto = convert_float_to_float16(onnx.load_from_string(data), keep_io_types=True, op_block_list=["Resize"])
    return proto.SerializeToString()


def to_int8(data: bytes, pairs: Iterable[Example]) -> bytes:
    """The same network with 8-bit convolutions, but the first and last: weights of each channel and maps on own scales.

    Weights have 7 bits, so that sums do not saturate on processors that add products in 16 bits (x86 without VNNI).

    Args:
        data: A float32 ``.onnx`` file.
        pairs: Luma of both pictures, each ``(1, 1, H, W)`` in [0, 1], whose maps set the scales.
    """
    onnx = import_exporter()
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    proto = onnx.load_from_string(data)
    with TemporaryDirectory() as folder:
        out = Path(folder) / "int8.onnx"
        quantize_static(
            proto,
            str(out),
            _Reader(iter(pairs)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=_outer_convolutions(proto.graph),
        )
        return out.read_bytes()


def _outer_convolutions(graph: Any) -> list[str]:
    """The convolutions that read pictures or draw one, by their few channels: there 8 bits cost most and save least."""
    shapes = {weight.name: tuple(weight.dims) for weight in graph.initializer}
    convolutions = [node for node in graph.node if node.op_type == "Conv"]
    return [node.name for node in convolutions if min(shapes[node.input[1]][:2]) <= FEW]


def calibration_pairs(folders: tuple[Path, Path] | None) -> Iterator[Example]:
    """What 8-bit numbers are calibrated on.

    Args:
        folders: Infrared and visible pictures, paired by file stem; without them synthetic scenes.

    Raises:
        UserError: If nothing pairs, or a picture cannot be read.
    """
    if folders is None:
        yield from scenes(SCENES, seed=100)
        return
    matched = match_folders(*folders)
    if not matched.both:
        raise UserError(nothing_pairs(*folders, matched))
    files, alike = list(matched.both.values()), 0
    rules: dict[Side, RangeRule] = {"ir": settled("auto", [ir for ir, _ in files], "ir")[0]}
    rules["vis"] = RangeRule("default")
    for pair in files[:: -(-len(files) // PAIRS)]:
        ir, vis = (
            to_picture(path, name=str(path), side=side, given=rules[side]).luma()
            for side, path in zip(rules, pair, strict=True)
        )
        if ir.shape == vis.shape:
            alike += 1
            yield ir, vis
    if not alike:
        raise UserError(f"{folders[0]} and {folders[1]} hold no pair of one size; register the pictures first")


class _Reader:
    """Hands the pairs to ONNX Runtime's calibration."""

    def __init__(self, pairs: Iterator[Example]) -> None:
        self.pairs = pairs

    def get_next(self) -> dict[str, Any] | None:
        pair = next(self.pairs, None)
        return None if pair is None else {"ir": pair[0], "vis": pair[1]}
