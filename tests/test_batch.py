"""Several pairs at once, as arrays and tensors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cmmdl.errors import UserError
from cmmdl.fusion.fuser import Fuser
from cmmdl.fusion.options import FuseOptions
from cmmdl.models.baselines import MaxFusion
from cmmdl.scenes import synthetic_pair

PAIRS = [synthetic_pair(33, 47, seed) for seed in range(3)]
IR, VIS = (np.stack([pair[side] for pair in PAIRS]) for side in (0, 1))
GREY = VIS[..., 1].copy()


@pytest.fixture(scope="module")
def fuser() -> Fuser:
    return Fuser(MaxFusion(), device="cpu")


def test_arrays_fuse_as_one_by_one(fuser: Fuser) -> None:
    assert (IR.shape, VIS.shape) == ((3, 33, 47), (3, 33, 47, 3))
    fused = fuser.batch(IR, VIS)
    assert np.array_equal(fused, np.stack([fuser(*pair) for pair in PAIRS]))
    grey = fuser.batch(IR, GREY)
    assert grey.shape == (3, 33, 47)
    assert np.array_equal(grey, np.maximum(IR, GREY))
    assert fuser.batch(IR[..., None], GREY[..., None]).shape == (3, 33, 47, 1)
    assert fuser.batch(VIS, GREY).shape == (3, 33, 47, 3)


def test_tensors_of_three_grey_pictures(fuser: Fuser) -> None:
    fused = fuser.batch(torch.from_numpy(IR), torch.from_numpy(GREY))
    assert torch.equal(fused, torch.from_numpy(np.maximum(IR, GREY)))
    channels = fuser.batch(torch.from_numpy(IR)[:, None], torch.from_numpy(GREY)[:, None])
    assert torch.equal(channels[:, 0], fused)
    one = fuser(torch.from_numpy(IR), torch.from_numpy(GREY))  # a call takes three planes for one RGB picture
    assert one.shape == (3, 33, 47)
    assert not torch.equal(one, fused)


def test_a_batch_shares_its_range(fuser: Fuser) -> None:
    counts = IR.astype(np.uint16) + 7000
    given = fuser.batch(counts, GREY, FuseOptions(ir_range=(7000, 7255)))
    assert np.array_equal(given, np.maximum(IR, GREY))
    found = fuser.batch(counts, np.zeros_like(GREY), FuseOptions(ir_range="auto"))
    levels = [set(found[counts == count].tolist()) for count in np.unique(counts)]
    assert all(len(level) == 1 for level in levels)  # a count is the same level in every picture
    assert (found.min(), found.max()) == (0, 255)


@pytest.mark.parametrize(
    ("ir", "vis", "words"),
    [
        (IR[0], VIS, r"infrared batch: a batch has the shape \(B, H, W\) or \(B, H, W, 3\), not \(33, 47\)"),
        (IR, [VIS], "visible batch is a list"),
        (IR[:2], VIS, "2"),
        (IR[:, :30], VIS, "47x30"),
        (IR[:0], VIS[:0], "not empty"),
        (np.zeros((2, 9, 9, 7), np.uint8), VIS, "7 channels"),
        (np.full((3, 33, 47), np.nan, np.float32), VIS, "NaN"),
    ],
)
def test_what_does_not_go_together(fuser: Fuser, ir: object, vis: object, words: str) -> None:
    with pytest.raises(UserError, match=words):
        fuser.batch(ir, vis)
