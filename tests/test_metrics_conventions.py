"""Whole pictures to numbers: names, colour, types, refusals."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmdl.errors import UserError
from cmmdl.metrics import CONVENTIONS, METRICS, score

Array = np.ndarray


@pytest.fixture(scope="module")
def colour() -> Array:
    """A colour picture whose channels are the fused picture and its sources: ``(50, 61, 3)`` uint8."""
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:50, :61]
    planes = [110 + 60 * np.sin(x / a + y / b) + rng.normal(scale=8, size=x.shape) for a, b in ((4, 9), (7, 3), (5, 5))]
    return np.stack(planes, 2).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def three(colour: Array) -> tuple[Array, Array, Array]:
    return colour[..., 0], colour[..., 1], colour[..., 2]


def test_names() -> None:
    twelve = ["EN", "SD", "SF", "MI", "SCD", "VIF", "Qabf", "SSIM", "AG", "MSE", "CC", "PSNR"]
    assert list(CONVENTIONS) == ["cmmdl", "cddfuse", "vifb", "vfbench", "paper"]
    assert list(CONVENTIONS["cmmdl"].metrics) == list(CONVENTIONS["cddfuse"].metrics) == twelve
    assert len(CONVENTIONS["vifb"].metrics) == 13
    assert list(CONVENTIONS["paper"].metrics) == list(METRICS)
    for convention in CONVENTIONS.values():
        assert convention.metrics.keys() <= METRICS.keys()


def test_metrics_in_any_case_and_in_the_order_asked_for(three: tuple[Array, Array, Array]) -> None:
    result = score(*three, metrics=["qabf", "NMI", "en"])
    assert list(result) == ["Qabf", "NMI", "EN"]
    assert result["NMI"] == score(*three, convention="paper", metrics=["NMI"])["NMI"]
    assert result["EN"] == score(*three)["EN"]


def test_conventions_differ_where_they_should(three: tuple[Array, Array, Array]) -> None:
    names = ["SSIM", "PSNR", "AG", "MI", "Qabf"]
    cmmdl, cddfuse, vifb, _, paper = (score(*three, convention=c, metrics=names) for c in CONVENTIONS)
    assert len({c["SSIM"] for c in (cmmdl, cddfuse, vifb, paper)}) == 4
    assert cmmdl["PSNR"] == cddfuse["PSNR"] < paper["PSNR"] < vifb["PSNR"]
    assert vifb["AG"] == pytest.approx(cmmdl["AG"] * 50 * 61 / (49 * 60))
    assert cmmdl["Qabf"] == pytest.approx(vifb["Qabf"])


def test_colour_becomes_rounded_luma(colour: Array, three: tuple[Array, Array, Array]) -> None:
    grey = np.round(cv2.cvtColor(colour[..., ::-1].astype(np.float32), cv2.COLOR_BGR2GRAY)).astype(np.uint8)
    exact = colour @ np.array([0.299, 0.587, 0.114])
    assert np.abs(grey - exact).max() < 0.5001
    assert score(colour, three[1], colour) == score(grey, three[1], grey)


def test_vifb_goes_channel_by_channel(colour: Array, three: tuple[Array, Array, Array]) -> None:
    fused, ir = np.ascontiguousarray(colour[::-1]), three[1]
    whole = score(fused, ir, colour, convention="vifb")
    channels = [score(fused[..., k], ir, colour[..., k], convention="vifb") for k in range(3)]
    for name in whole.keys() - {"SF"}:
        assert whole[name] == pytest.approx(np.mean([channel[name] for channel in channels]), rel=1e-12), name
    wide = np.concatenate([fused[..., k] for k in range(3)], 1)
    assert whole["SF"] == score(wide, wide, wide, convention="vifb", metrics=["SF"])["SF"]
    grey = score(fused[..., 0], ir, colour, convention="vifb")
    assert grey["EN"] == channels[0]["EN"]


def test_tensors_floats_and_a_channel_axis(three: tuple[Array, Array, Array]) -> None:
    expected = score(*three)
    assert score(*(torch.from_numpy(p.copy()) for p in three)) == expected
    assert score(*(p / 255 for p in three)) == expected
    assert score(*((p / 255).astype(np.float32)[..., None] for p in three)) == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"convention": "cdfuse"}, "unknown convention 'cdfuse'; choose from cmmdl, cddfuse, vifb, vfbench, paper"),
        ({"metrics": ["EN", "Qxy"]}, "unknown metric 'Qxy'; choose from EN, SD"),
        ({"fused": np.zeros((50, 60), np.uint8)}, "pictures differ in size: fused 50x60, ir 50x61, vis 50x61"),
        ({"vis": np.zeros((50, 61, 4), np.uint8)}, r"vis must be \(H, W\) or \(H, W, 3\), not \(50, 61, 4\)"),
        ({"ir": np.zeros((50, 61), np.uint16)}, "ir must be uint8 or float in"),
        ({"ir": np.full((50, 61), 200.0)}, "ir is float and must lie in"),
        ({"ir": np.full((50, 61), np.nan)}, "ir is float and must lie in"),
    ],
)
def test_refusals(change: dict[str, object], message: str, three: tuple[Array, Array, Array]) -> None:
    arguments = dict(zip(("fused", "ir", "vis"), three, strict=True)) | change
    with pytest.raises(UserError, match=message):
        score(**arguments)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(41, 90), st.integers(41, 90), st.sampled_from(list(CONVENTIONS)), st.integers(0, 2**32), st.booleans()
)
def test_any_size_gives_finite_values(height: int, width: int, convention: str, seed: int, colour: bool) -> None:
    rng = np.random.default_rng(seed)
    shape = (height, width, 3) if colour else (height, width)
    names = [n for n in CONVENTIONS[convention].metrics if METRICS[n].smallest <= 41 and not n.startswith("FMI")]
    pictures = [rng.integers(0, rng.integers(2, 257), shape).astype(np.uint8) for _ in range(3)]
    assert all(np.isfinite(value) for value in score(*pictures, convention=convention, metrics=names).values())
