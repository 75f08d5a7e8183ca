"""Conventions by name: how whole pictures become numbers in the tables of the literature.

A convention says how three pictures become grey planes and which form of each metric counts. The functions of this
package are the metrics; this module only chooses among them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from cmmdl.errors import UsageError, UserError
from cmmdl.metrics import correlation, structure, vifb
from cmmdl.metrics.table import METRICS

Planes = tuple[Tensor, Tensor, Tensor]
Form = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Convention:
    """A named way to compute a table.

    Attributes:
        name: What to call it in a caption.
        summary: What it does, in a sentence or two.
        planes: Takes fused, ir and vis as ``(H, W)`` or ``(H, W, 3)`` arrays of 8-bit levels and gives them as
            ``(B, 1, H, W)`` uint8 tensors; scores are means over B.
        metrics: Its metrics in the order of its tables: name to ``f(fused, ir, vis)``.
    """

    name: str
    summary: str
    planes: Callable[[np.ndarray, np.ndarray, np.ndarray], Planes]
    metrics: Mapping[str, Form]

    def form(self, name: str) -> Form:
        """This convention's form of a metric, or that of the metric's own paper where the convention has none."""
        return self.metrics.get(name) or METRICS[name]


def _plane(picture: np.ndarray) -> Tensor:
    """``(H, W)`` or ``(H, W, C)`` levels as a ``(1 or C, 1, H, W)`` uint8 tensor."""
    stack = picture[None] if picture.ndim == 2 else np.moveaxis(picture, 2, 0)
    return torch.from_numpy(np.ascontiguousarray(stack, dtype=np.uint8)).unsqueeze(1)


def _opencv_grey(picture: np.ndarray) -> np.ndarray:
    """Luma 0.299 R + 0.587 G + 0.114 B in float32, rounded."""
    if picture.ndim == 2:
        return picture
    return np.round(cv2.cvtColor(picture[..., ::-1].astype(np.float32), cv2.COLOR_BGR2GRAY))


def _matlab_grey(picture: np.ndarray) -> np.ndarray:
    """Luma with the coefficients of MATLAB's rgb2gray, rounded."""
    if picture.ndim == 2:
        return picture
    return np.floor(picture @ np.array([0.298936021293776, 0.587043074451121, 0.114020904255103]) + 0.5)


def _grey_planes(fused: np.ndarray, ir: np.ndarray, vis: np.ndarray) -> Planes:
    return _plane(_opencv_grey(fused)), _plane(_opencv_grey(ir)), _plane(_opencv_grey(vis))


def _channel_planes(fused: np.ndarray, ir: np.ndarray, vis: np.ndarray) -> Planes:
    """Channel by channel if the fused picture has colour, with grey sources for every channel; else all in grey."""
    if fused.ndim == 2:
        return _plane(fused), _plane(_matlab_grey(ir)), _plane(_matlab_grey(vis))
    planes = _plane(fused)
    return planes, _plane(ir).expand_as(planes), _plane(vis).expand_as(planes)


def _rgb_planes(fused: np.ndarray, ir: np.ndarray, vis: np.ndarray) -> Planes:
    """Channel by channel, grey pictures as three equal ones; one grey plane where all three are grey."""
    pictures = _plane(fused), _plane(ir), _plane(vis)
    count = max(len(planes) for planes in pictures)
    first, second, third = (planes.expand(count, *planes.shape[1:]) for planes in pictures)
    return first, second, third


def _half(form: Form) -> Form:
    """The mean over both sources of what is otherwise their sum."""
    return lambda fused, ir, vis: form(fused, ir, vis) / 2


_TABLE = ("EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM", "AG", "MSE", "CC", "PSNR")
_TWELVE: dict[str, Form] = {name: METRICS[name] for name in _TABLE}
_VIFB: dict[str, Form] = {
    "CE": METRICS["CE"],
    "EN": METRICS["EN"],
    "MI": vifb.mutual_information,
    "PSNR": vifb.psnr,
    "AG": lambda fused, ir, vis: vifb.average_gradient(fused),
    "EI": METRICS["EI"],
    "Qabf": METRICS["Qabf"],
    "SD": METRICS["SD"],
    "SF": lambda fused, ir, vis: vifb.spatial_frequency(fused),
    "RMSE": vifb.rmse,
    "SSIM": vifb.ssim,
    "QCB": METRICS["QCB"],
    "QCV": METRICS["QCV"],
}
_VFBENCH: dict[str, Form] = {
    "VIF": _half(METRICS["VIF"]),
    "SSIM": _half(vifb.ssim),
    "MI": METRICS["MI"],
    "Qabf": METRICS["Qabf"],
}
_ALL = (
    Convention(
        "cmmdl",
        "Grey by rounded BT.601 luma; MI in nats; MI, VIF, SSIM and SCD summed over the sources; PSNR from the maximum "
        "of the fused picture; SSIM constants for its max - min.",
        _grey_planes,
        _TWELVE,
    ),
    Convention(
        "cddfuse",
        "As cmmdl, but SSIM constants for a data range of 2 on pictures of 0..255.",
        _grey_planes,
        {**_TWELVE, "SSIM": partial(structure.ssim, data_range=2 / 255)},
    ),
    Convention(
        "vifb",
        "The MATLAB benchmark's thirteen: channel by channel where the fused picture has colour, MI, QCB and QCV on "
        "stretched pictures, PSNR from its own RMSE.",
        _channel_planes,
        _VIFB,
    ),
    Convention(
        "vfbench",
        "The picture metrics of video fusion tables: channel by channel in RGB; VIF and SSIM as means over the "
        "sources, SSIM with an 11x11 Gaussian window (σ 1.5) and constants for 0..255; MI in nats, summed; Qabf.",
        _rgb_planes,
        _VFBENCH,
    ),
    Convention(
        "paper",
        "Every metric as its own paper has it, on rounded BT.601 luma; SSIM for a data range of 255, PSNR for a peak "
        "of 255.",
        _grey_planes,
        {
            **METRICS,
            "SSIM": partial(structure.ssim, data_range=1.0),
            "PSNR": partial(correlation.psnr, peak=1.0),
        },
    ),
)

CONVENTIONS: dict[str, Convention] = {convention.name: convention for convention in _ALL}
"""Every convention by its name."""


def _levels(name: str, picture: Any) -> np.ndarray:
    """A picture as an array of 8-bit levels, ``(H, W)`` or ``(H, W, 3)``."""
    array = picture.detach().cpu().numpy() if isinstance(picture, Tensor) else np.asarray(picture)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] != 3) or array.size == 0:
        raise UserError(f"{name} must be (H, W) or (H, W, 3), not {array.shape}")
    if array.dtype == np.uint8:
        return array
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{name} must be uint8 or float in [0, 1], not {array.dtype}; divide by its full scale")
    if not (array.min() >= 0 and array.max() <= 1):
        raise UserError(f"{name} is float and must lie in [0, 1]; divide 8-bit values by 255")
    return np.round(array.astype(np.float64) * 255).astype(np.uint8)


def chosen(convention: str, metrics: Sequence[str] | None = None) -> tuple[Convention, list[str]]:
    """Look up a convention and metrics by name, metrics in any case.

    Raises:
        UserError: If there is no such convention or metric.
    """
    if convention not in CONVENTIONS:
        raise UsageError(f"unknown convention {convention!r}; choose from {', '.join(CONVENTIONS)}")
    if metrics is None:
        return CONVENTIONS[convention], list(CONVENTIONS[convention].metrics)
    known = {name.lower(): name for name in METRICS}
    for name in metrics:
        if name.lower() not in known:
            raise UsageError(f"unknown metric {name!r}; choose from {', '.join(METRICS)}")
    return CONVENTIONS[convention], [known[name.lower()] for name in metrics]


def score(
    fused: Any,
    ir: Any,
    vis: Any,
    *,
    convention: str = "cmmdl",
    metrics: Sequence[str] | None = None,
    device: str | torch.device = "cpu",
) -> dict[str, float]:
    """Score one fused picture against its sources.

    Args:
        fused: ``(H, W)`` or ``(H, W, 3)`` RGB, array or tensor, uint8 or float in [0, 1] (rounded to 8 bit).
        ir: Of the same height and width.
        vis: Of the same height and width.
        convention: A name in ``CONVENTIONS``.
        metrics: Names in ``METRICS``, in any case; ``None`` takes the convention's own. A metric that the convention
            does not name is computed as in its own paper.
        device: Where to compute.

    Returns:
        Value by metric name, in the order asked for.

    Raises:
        UserError: If a name is unknown, a picture has a wrong shape, type or range, or sizes differ.
        ValueError: If the pictures are too small for a metric.
    """
    way, names = chosen(convention, metrics)
    pictures = [_levels(name, x) for name, x in (("fused", fused), ("ir", ir), ("vis", vis))]
    sizes = [f"{x.shape[0]}x{x.shape[1]}" for x in pictures]
    if len(set(sizes)) > 1:
        raise UserError(f"pictures differ in size: fused {sizes[0]}, ir {sizes[1]}, vis {sizes[2]}")
    planes = [plane.to(device) for plane in way.planes(*pictures)]
    return {name: way.form(name)(*planes).mean().item() for name in names}
