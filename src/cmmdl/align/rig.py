"""One transform for a whole rig: the median of many pairs' own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from cmmdl.align.geometry import corners, moved, resizing
from cmmdl.align.kinds import through
from cmmdl.align.transform import Alignment, tolerance
from cmmdl.errors import UserError


def median(alignments: Sequence[Alignment], warp: str | None = None) -> Alignment:
    """The transform of a rig whose cameras do not move against each other.

    The corners of the infrared picture are taken through every sure transform; each one's median place is robust
    against pairs that are wrong, and against objects at other distances.

    Args:
        alignments: Of the pairs; those that are not ``ok`` do not count, those of other sizes are brought to the first
            sure one's.
        warp: Kind of the result; by default the commonest of the sure ones.

    Returns:
        A transform whose ``residual_px`` is the median distance of the pairs' corners from its own. Where that is more
        than an aligned pair may be off, its status is ``low_confidence``: no one transform explains these pairs.

    Raises:
        UserError: If no pair was sure.
    """
    sure = [one for one in alignments if one.ok]
    if not sure:
        raise UserError(
            f"none of {len(alignments)} pairs could be laid on each other surely, so there is no transform of the rig; "
            "take more pairs, by day and with structure near and far"
        )
    first = sure[0]
    alike = [one.resized(first.ir_size, first.vis_size) for one in sure]
    model = warp or _commonest([one.warp for one in sure])
    model = "affine" if model == "elastic" else model
    places = np.stack([moved(one.matrix, corners(first.ir_size)) for one in alike])
    plain = resizing(first.ir_size, first.vis_size)
    matrix = through(corners(first.ir_size), np.median(places, axis=0), model, plain)
    off = np.linalg.norm(places - moved(matrix, corners(first.ir_size)), axis=2).mean(axis=1)
    scatter, confidence = float(np.median(off)), float(np.median([one.confidence for one in sure]))
    status = "ok" if scatter <= tolerance(first.vis_size) else "low_confidence"
    return replace(
        first, matrix=matrix, warp=model, status=status, residual_px=scatter, confidence=confidence, field=None
    )


def _commonest(names: list[str]) -> str:
    return max(sorted(set(names)), key=names.count)
