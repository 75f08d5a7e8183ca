"""How steady a clip is: what changes from frame to frame beside what moves.

The warping error here is this project's own: the mean absolute difference, in 8-bit levels of the luma, between a frame
and its neighbour moved onto it along the optical flow of the sources, in both directions, over the pixels where the
flows of both sources are sure. It is not the BiSWE of VF-Bench, which takes its flow from SEA-RAFT, nor the squared
error of Lai et al.

References: Lai et al. Learning blind video temporal consistency. ECCV, 2018, section 4.2, for the idea; Sundaram,
Brox, Keutzer. Dense point trajectories by GPU-accelerated large displacement optical flow. ECCV, 2010, equation 5, for
what is sure; Kroeger et al. Fast optical flow using dense inverse search. ECCV, 2016, for the flow, as in OpenCV.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Levels = NDArray[np.uint8]
Floats = NDArray[Any]

PRESET = "medium"
"""OpenCV's preset of the flow."""

SMALLEST = 48
"""Side in pixels below which there is no flow to be had."""


@dataclass(frozen=True)
class Steadiness:
    """Of one clip.

    Attributes:
        warping_error: Mean absolute difference along the motion, in 8-bit levels; lower is better.
        detail: Mean spatial frequency of the frames, in 8-bit levels.
        luma_step: Standard deviation of the step of mean luma from one frame to the next, in 8-bit levels.
    """

    warping_error: float
    detail: float
    luma_step: float

    @property
    def relative_error(self) -> float:
        """The warping error divided by the detail, since both grow with contrast."""
        return self.warping_error / self.detail if self.detail else float("nan")


@dataclass
class Steadily:
    """Takes the frames of several clips of one scene in their order, and says how steady each is.

    Args:
        every: Flows are computed for every so many pairs of neighbours; means of luma for all.
    """

    every: int = 1
    pairs: int = 0
    sure: list[float] = field(default_factory=list)
    errors: dict[str, list[float]] = field(default_factory=dict)
    details: dict[str, list[float]] = field(default_factory=dict)
    means: dict[str, list[float]] = field(default_factory=dict)
    before: dict[str, Levels] | None = None

    def add(self, lumas: Mapping[str, Levels]) -> None:
        """Takes one frame of each clip.

        Args:
            lumas: ``(H, W)`` 8-bit levels by name; ``ir`` and ``vis`` among them.
        """
        for name, luma in lumas.items():
            self.means.setdefault(name, []).append(float(luma.mean()))
            self.details.setdefault(name, []).append(spatial_frequency(luma))
        before, self.before = self.before, dict(lumas)
        if before is None or min(lumas["vis"].shape) < SMALLEST:
            return
        if self.pairs % self.every == 0:
            self._compare(before, self.before)
        self.pairs += 1

    def result(self) -> dict[str, Steadiness]:
        """Steadiness by name; NaN where there were too few frames or none was large enough."""
        nan = float("nan")
        return {
            name: Steadiness(
                float(np.mean(self.errors[name])) if self.errors.get(name) else nan,
                float(np.mean(self.details[name])),
                float(np.std(np.diff(means))) if len(means) > 1 else nan,
            )
            for name, means in self.means.items()
        }

    @property
    def share(self) -> float:
        """Mean share of the pixels that counted."""
        return float(np.mean(self.sure)) if self.sure else float("nan")

    def _compare(self, before: Mapping[str, Levels], after: Mapping[str, Levels]) -> None:
        """The errors between two neighbours, in both directions along the flows of both sources."""
        flows = [(_flow(after[side], before[side]), _flow(before[side], after[side])) for side in ("ir", "vis")]
        turned = [(back, there) for there, back in flows]
        for one, other, ways in ((after, before, flows), (before, after, turned)):
            sure = np.logical_and.reduce([agrees(there, back) for there, back in ways])
            self.sure.append(float(sure.mean()))
            if not sure.any():
                continue
            for name, luma in one.items():
                found = [np.abs(luma - moved(other[name], there))[sure].mean() for there, _ in ways]
                self.errors.setdefault(name, []).append(float(np.mean(found)))


def agrees(flow: Floats, back: Floats) -> NDArray[np.bool_]:
    """Where a flow and the one the other way round cancel, and lead to a place inside of the picture.

    Args:
        flow: ``(H, W, 2)`` in pixels, from each pixel to its place in the other picture.
        back: The same the other way round.

    Returns:
        ``(H, W)``.
    """
    height, width = flow.shape[:2]
    returned = moved(back, flow)
    apart, length = ((flow + returned) ** 2).sum(-1), (flow**2 + returned**2).sum(-1)
    x, y = _places(flow)
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    return (apart <= 0.01 * length + 0.5) & inside


def moved(picture: NDArray[np.float32] | Levels, flow: Floats) -> Floats:
    """A picture, or a flow, fetched along a flow: bilinear, as float32."""
    return cv2.remap(picture.astype(np.float32), *_places(flow), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def spatial_frequency(luma: Levels) -> float:
    """SF of one luma in 8-bit levels: the root of the mean squared differences across and down."""
    levels = luma.astype(np.float32)
    return float(np.sqrt((np.diff(levels, axis=0) ** 2).mean() + (np.diff(levels, axis=1) ** 2).mean()))


def _flow(one: Levels, other: Levels) -> Floats:
    """Where the pixels of one picture lie in another."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    return search.calc(one, other, None)  # type: ignore[call-overload, no-any-return]


def _places(flow: Floats) -> tuple[Floats, Floats]:
    height, width = flow.shape[:2]
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return columns + flow[..., 0], rows + flow[..., 1]
