"""Steadiness: what it removes, what it leaves, and how it is measured."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from cmmdl.evaluate.steadiness import Steadily, agrees, moved, spatial_frequency
from cmmdl.fusion.steady import Motion, Steady, Still, agreement, edges_lost, is_cut, motion, scene_of

H, W = 96, 128


def texture(seed: int = 0) -> NDArray[np.float32]:
    """A scene with structure at several sizes, in [0.1, 0.9]."""
    import cv2

    random = np.random.default_rng(seed)
    parts = [cv2.resize(random.random((n, n)).astype(np.float32), (2 * W, 2 * H), interpolation=2) for n in (6, 20, 50)]
    total = sum(parts)
    return (0.1 + 0.8 * (total - total.min()) / np.ptp(total)).astype(np.float32)


def shot(scene: NDArray[np.float32], x: int = 0, noise: float = 0.0, seed: int = 0) -> NDArray[np.float32]:
    """A view of the scene from further right, with sensor noise."""
    view = scene[20 : 20 + H, 20 + x : 20 + x + W]
    return np.clip(view + np.random.default_rng(seed).normal(0, noise, view.shape), 0, 1).astype(np.float32)


def still(luma: NDArray[np.float32]) -> Still:
    return Still(luma, luma, luma, scene_of(luma, luma))


def steadied(lumas: list[NDArray[np.float32]]) -> list[NDArray[np.float32]]:
    frames, steady = [still(luma) for luma in lumas], Steady()
    steps: list[Motion | None] = [None]
    steps += [motion(a.scene, b.scene, (H, W)) for a, b in pairwise(frames)]
    steps.append(None)
    following: list[Still | None] = [*frames[1:], None]
    return [steady(frame, steps[k], steps[k + 1], following[k]) for k, frame in enumerate(frames)]


def error(frames: list[NDArray[np.float32]], sources: list[NDArray[np.float32]]) -> float:
    steadily = Steadily()
    for frame, source in zip(frames, sources, strict=True):
        levels = {"ir": source, "vis": source, "fused": frame}
        steadily.add({name: np.rint(luma * 255).astype(np.uint8) for name, luma in levels.items()})
    return steadily.result()["fused"].warping_error


def test_equal_frames_stay_as_they_are() -> None:
    view = shot(texture())
    for frame in steadied([view] * 4):
        np.testing.assert_allclose(frame, view, atol=1e-5)


def test_motion_of_a_shift() -> None:
    scene = texture()
    found = motion(scene_of(*[shot(scene)] * 2), scene_of(*[shot(scene, 3)] * 2), (H, W))
    assert found is not None
    inner = slice(16, -16), slice(16, -16)
    columns = np.arange(W, dtype=np.float32)[None, :]
    assert abs(float(np.median((found.back.columns - columns)[inner])) - 3) < 0.2
    assert abs(float(np.median((found.ahead.columns - columns)[inner])) + 3) < 0.2
    assert found.back.sure[inner].mean() > 0.8


def test_noise_goes_and_detail_stays() -> None:
    scene = texture()
    clean = [shot(scene, k) for k in range(12)]
    noisy = [shot(scene, k, noise=0.008, seed=k) for k in range(12)]
    result = steadied(noisy)
    assert error(result, clean) < 0.85 * error(noisy, clean)
    lost = [spatial_frequency(np.rint(x * 255).astype(np.uint8)) for x in (result[8], noisy[8])]
    assert lost[0] > 0.97 * lost[1]


def test_flicker_of_brightness_goes() -> None:
    view = 0.1 + 0.8 * shot(texture())
    flickering = [view + 0.015 * (-1) ** k for k in range(12)]
    means = [float(frame.mean()) for frame in steadied(flickering)]
    assert np.std(np.diff(means[4:])) < 0.3 * np.std(np.diff([frame.mean() for frame in flickering]))


def test_what_appears_at_once_is_shown_at_once() -> None:
    view = 0.5 * shot(texture())
    lamp = view.copy()
    lamp[30:50, 40:60] = 1.0
    result = steadied([view, view, view, lamp, lamp])
    assert np.abs(result[3][34:46, 44:56] - 1.0).max() < 0.05
    assert np.abs(result[2][34:46, 44:56] - view[34:46, 44:56]).max() < 0.05


def test_a_cut_begins_anew() -> None:
    one, two = shot(texture(0)), shot(texture(5))[::-1].copy()
    assert is_cut(scene_of(one, one), scene_of(two, two))
    result = steadied([one, one, two, two])
    np.testing.assert_allclose(result[2], two, atol=1e-5)
    np.testing.assert_allclose(result[1], one, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (7, 200), (47, 47), (48, 49), (61, 83)])
def test_any_size(shape: tuple[int, int]) -> None:
    random = np.random.default_rng(0)
    frames = [still(random.random(shape).astype(np.float32)) for _ in range(2)]
    step = motion(frames[0].scene, frames[1].scene, shape)
    steady = Steady()
    for before, after, following, frame in ((None, step, frames[1], frames[0]), (step, None, None, frames[1])):
        result = steady(frame, before, after, following)
        assert result.shape == shape
        assert np.isfinite(result).all()
        assert 0 <= result.min() <= result.max() <= 1


def test_large_frames_get_their_flow_from_a_smaller_picture() -> None:
    big = np.random.default_rng(0).random((1200, 1600)).astype(np.float32)
    scene = scene_of(big, big)
    assert scene.shape == (600, 800)
    found = motion(scene, scene, big.shape)  # type: ignore[arg-type]
    assert found is not None
    assert found.back.columns.shape == big.shape
    assert np.abs(found.back.columns - np.arange(1600, dtype=np.float32)).max() < 0.5


def test_agreement_of_flows() -> None:
    there = np.zeros((20, 30, 2), np.float32)
    there[..., 0] = 2
    sure = agreement(there, -there)
    assert (sure[:, :27] == 1).all()
    assert (sure[:, 28:] == 0).all()  # it leads out of the picture
    assert (agreement(there, there)[:, :27] == 0).all()
    assert agrees(there, -there)[:, :28].all()
    assert not agrees(there, there).any()


def test_moved_is_exact_for_whole_pixels() -> None:
    picture = np.arange(50, dtype=np.uint8).reshape(5, 10)
    flow = np.zeros((5, 10, 2), np.float32)
    flow[..., 0] = 1
    np.testing.assert_array_equal(moved(picture, flow)[:, :-1], picture[:, 1:])


def test_spatial_frequency_by_hand() -> None:
    board = np.indices((4, 4)).sum(0) % 2 * 10
    assert spatial_frequency(board.astype(np.uint8)) == pytest.approx(np.sqrt(200))


def test_luma_step_and_error_of_known_clips() -> None:
    scene = np.rint(255 * shot(texture())).astype(np.uint8)
    steadily = Steadily()
    for k in range(5):
        steadily.add({"ir": scene, "vis": scene, "fused": np.minimum(scene, 250) + np.uint8(4 * (k % 2))})
    found = steadily.result()
    assert found["ir"].warping_error == 0
    assert found["fused"].warping_error == pytest.approx(4, abs=0.3)
    assert found["fused"].luma_step == pytest.approx(4, abs=0.1)
    assert steadily.share > 0.9


def test_edges_count_in_the_levels_that_are_written() -> None:
    noise = np.random.default_rng(3).uniform(-0.4, 0.4, (64, 80)).astype(np.float32)
    step = np.where(np.arange(80) < 40, 60, 180).astype(np.float32) * np.ones((64, 1), np.float32)
    sources = (step / 255, step[:, ::-1].copy() / 255)
    frame = Still((step + noise) / 255, *sources, scene_of(*sources))
    assert edges_lost(frame, step / 255, 0) == 0, "noise of less than a level is in no file"
    assert edges_lost(frame, np.full_like(step, 120 / 255), 0) > 0.1, "the step is gone"
