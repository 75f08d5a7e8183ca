"""Colour against literals of the JPEG formulas and OpenCV, stretch against its definition."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmdl.files import colour as colours
from cmmdl.files.levels import stretch


def rgb(red: float, green: float, blue: float) -> torch.Tensor:
    return torch.tensor([red, green, blue], dtype=torch.float64).view(1, 3, 1, 1)


@pytest.mark.parametrize(
    ("colour", "expected"),
    [  # (R, G, B) -> (Y, Cb, Cr), by hand from the formulas of ITU-T T.871
        ((1, 1, 1), (1, 0.5, 0.5)),
        ((1, 0, 0), (0.299, 0.5 - 0.299 / 1.772, 1.0)),
        ((0, 1, 0), (0.587, 0.5 - 0.587 / 1.772, 0.5 - 0.587 / 1.402)),
        ((0, 0, 1), (0.114, 1.0, 0.5 - 0.114 / 1.402)),
        ((0.2, 0.2, 0.2), (0.2, 0.5, 0.5)),
    ],
)
def test_colour_literals(colour: tuple[float, ...], expected: tuple[float, ...]) -> None:
    got = colours.rgb_to_ycbcr(rgb(*colour)).flatten().tolist()
    assert got == pytest.approx(expected, abs=1e-12)


def test_colour_agrees_with_opencv() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (11, 13, 3)).astype(np.uint8)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None] / 255
    ycrcb = cv2.cvtColor(picture, cv2.COLOR_RGB2YCrCb)
    ours = (colours.rgb_to_ycbcr(tensor)[0].permute(1, 2, 0) * 255).numpy()
    assert np.abs(ours - ycrcb[..., [0, 2, 1]]).max() <= 1.5  # OpenCV rounds, and centres chroma at 128 of 255


@settings(deadline=None)
@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 2**31))
def test_colour_round_trip(height: int, width: int, seed: int) -> None:
    picture = torch.rand(2, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    ycbcr = colours.rgb_to_ycbcr(picture)
    assert ycbcr.min() >= -1e-12
    assert ycbcr.max() <= 1 + 1e-12
    torch.testing.assert_close(colours.ycbcr_to_rgb(ycbcr), picture, atol=1e-12, rtol=0)
    torch.testing.assert_close(colours.luma(picture), ycbcr[:, :1])


def test_stretch_is_a_picture_at_a_time() -> None:
    batch = torch.tensor([[[[0.2, 0.4, 0.6]]], [[[0.5, 0.5, 0.5]]]])
    torch.testing.assert_close(stretch(batch), torch.tensor([[[[0, 0.5, 1]]], [[[0.5, 0.5, 0.5]]]]))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.uint16, torch.float32])
def test_grey_is_one_channel_or_three_equal(dtype: torch.dtype) -> None:
    channel = (torch.rand(1, 1, 4, 5) * 200).to(dtype)
    assert colours.is_grey(channel)
    assert colours.is_grey(channel.expand(1, 3, 4, 5))
    other = (torch.rand(1, 1, 4, 5) * 200).to(dtype)
    assert not colours.is_grey(torch.cat([channel, channel, other], 1))


def test_wrong_channels_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(1, 2, 4, 4\)"):
        colours.luma(torch.zeros(1, 2, 4, 4))


@pytest.mark.parametrize("kind", [torch.from_numpy, np.asarray], ids=["torch", "numpy"])
def test_another_luma_keeps_hue_and_fits(kind) -> None:
    rng = np.random.default_rng(3)
    picture, y = rng.random((2, 3, 9, 7)), rng.random((2, 1, 9, 7))
    got = np.concatenate([np.asarray(channel) for channel in colours.with_luma(kind(picture), kind(y))], axis=1)
    assert got.min() >= -1e-12
    assert got.max() <= 1 + 1e-12
    np.testing.assert_allclose(colours.luma(got), y, atol=1e-12)  # clipping would miss it
    before, after = (colours.rgb_to_ycbcr(x)[:, 1:] - 0.5 for x in (picture, got))
    np.testing.assert_allclose(before[:, 0] * after[:, 1], before[:, 1] * after[:, 0], atol=1e-12)  # one direction
    assert (before * after).sum(1).min() >= -1e-12
    room = ((picture + y - colours.luma(picture) >= 0) & (picture + y - colours.luma(picture) <= 1)).all(1)
    assert 0 < room.mean() < 1
    np.testing.assert_allclose(np.moveaxis(after, 1, -1)[room], np.moveaxis(before, 1, -1)[room], atol=1e-12)


def test_a_colour_without_room_by_hand() -> None:
    red = np.array([1.0, 0.0, 0.0]).reshape(3, 1, 1)
    channels = colours.with_luma(red, np.full((1, 1, 1), 0.65))
    assert [channel.item() for channel in channels] == pytest.approx([1.0, *[0.65 - 0.299 * 0.35 / 0.701] * 2])


@pytest.mark.parametrize("kind", [torch.from_numpy, np.asarray], ids=["torch", "numpy"])
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_black_and_white_stay_finite_in_any_precision(kind, dtype: str) -> None:
    picture = np.array([[0.0, 1.0, 1.0, 0.5], [0.0, 1.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.5]], dtype)[:, None]
    y = np.array([[1.0, 0.0, 1.0, 1.0]], dtype)[None]
    got = np.concatenate([np.asarray(channel) for channel in colours.with_luma(kind(picture), kind(y))])
    np.testing.assert_allclose(got[:, 0], np.broadcast_to(y[0], (3, 4)), atol=1e-3)
