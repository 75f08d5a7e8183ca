"""The shipped weights on scenes that the project draws: what a person would complain about."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cmmdl import Fuser
from cmmdl.files import colour
from cmmdl.scenes import synthetic_pair

TRAINED = ["cmmdl-ivf", "cmmdl-mif", "cmmdl-rt", "cmmdl-mif-rt"]


def luma(picture: np.ndarray) -> np.ndarray:
    values = picture.astype(np.float64) / 255
    return values if values.ndim == 2 else values @ np.array([colour.RED, colour.GREEN, colour.BLUE])


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    return synthetic_pair(96, 128, seed=4)


@pytest.mark.parametrize("name", TRAINED)
def test_corners_and_borders_hold_nothing_that_is_in_no_source(name: str, scene: tuple[np.ndarray, np.ndarray]) -> None:
    ir, vis = scene
    fused = luma(Fuser(name, backend="torch")(ir, vis))
    low, high = np.minimum(luma(ir), luma(vis)), np.maximum(luma(ir), luma(vis))
    beyond = np.maximum(low - fused, fused - high)
    frame = np.ones_like(beyond, dtype=bool)
    frame[4:-4, 4:-4] = False
    assert beyond[frame].max() < 0.35, "a black or white pixel"
    assert beyond[frame].clip(0).mean() < 2 * beyond[~frame].clip(0).mean() + 0.01, "a line along the border"


@pytest.mark.parametrize("name", ["cmmdl-rt", "cmmdl-mif-rt"])
def test_the_onnx_file_in_the_box_holds_the_same_network(name: str, scene: tuple[np.ndarray, np.ndarray]) -> None:
    ir, vis = (luma(picture).astype(np.float32) for picture in scene)
    exported, network = (Fuser(name, backend=backend)(ir, vis) for backend in ("onnxruntime", "torch"))
    np.testing.assert_allclose(exported, network, atol=2e-5)


@pytest.mark.parametrize("name", ["cmmdl-ivf", "cmmdl-rt"])
def test_the_picture_follows_both_sources(name: str, scene: tuple[np.ndarray, np.ndarray]) -> None:
    ir, vis = scene
    fused = luma(Fuser(name, backend="torch")(ir, vis))
    for source in (ir, vis):
        assert np.corrcoef(fused.ravel(), luma(source).ravel())[0, 1] > 0.3


@pytest.mark.parametrize("name", ["cmmdl-ivf", "cmmdl-rt"])
def test_a_warm_body_in_the_dark_is_bright(name: str) -> None:
    ir, vis = np.full((64, 64), 40, np.uint8), np.full((64, 64), 30, np.uint8)
    ir[24:44, 28:36] = 230
    fused = Fuser(name, backend="torch")(ir, vis)
    assert fused[26:42, 30:34].mean() > 150
    assert fused[:16].mean() < 80


@pytest.mark.parametrize(
    ("sky_ir", "sky_vis", "wall_ir", "wall_vis"),
    [(30, 190, 204, 115), (13, 242, 240, 150), (26, 90, 180, 40), (26, 20, 204, 30), (32, 152, 238, 181)],
    ids=["day", "bright", "dusk", "night", "pale wall"],
)
def test_even_skies_have_no_seam_or_glow_beside_a_house(sky_ir: int, sky_vis: int, wall_ir: int, wall_vis: int) -> None:
    house = np.zeros((144, 240), dtype=bool)
    house[60:, 90:150] = True
    noise = np.random.default_rng(0).normal(0, 1, (2, *house.shape))
    levels = zip((wall_ir, wall_vis), (sky_ir, sky_vis), noise, strict=True)
    ir, vis = (np.clip(np.where(house, wall, sky) + grain, 0, 255).astype(np.uint8) for wall, sky, grain in levels)
    fused = Fuser("cmmdl-rt", backend="torch")(ir, vis).astype(float)
    far = fused[8:50, 8:24].mean()
    near = [fused[64:136, 90 - distance : 94 - distance].mean() for distance in (8, 16, 24, 32, 40)]
    assert np.abs(np.subtract(near, far)).max() < 12


@pytest.mark.parametrize("name", ["cmmdl-mif", "cmmdl-mif-rt"])
class TestMedical:
    def slices(self) -> tuple[np.ndarray, np.ndarray]:
        """A head that MRI shows in grey and PET in colours, black around it."""
        y, x = np.mgrid[-1:1:96j, -1:1:96j]
        head = (x**2 + (y / 1.1) ** 2 < 0.6).astype(float)
        mri = head * (110 + 60 * np.cos(9 * x) * np.cos(7 * y))
        heat = head * (0.5 + 0.4 * np.cos(3 * x + 2 * y))
        pet = 255 * np.stack([heat, heat**2, 0.3 * (1 - heat) * head], axis=-1)
        return mri.astype(np.uint8), pet.astype(np.uint8)

    def test_black_stays_black(self, name: str) -> None:
        mri, pet = self.slices()
        fused = Fuser(name, backend="torch")(mri, pet)
        outside = np.zeros(mri.shape, dtype=bool)
        outside[:4] = outside[-4:] = True
        assert fused[outside].mean() < 2

    def test_the_skull_of_ct_and_the_brain_of_mri_are_both_there(self, name: str) -> None:
        mri, _ = self.slices()
        y, x = np.mgrid[-1:1:96j, -1:1:96j]
        radius = x**2 + (y / 1.1) ** 2
        skull = (radius > 0.6) & (radius < 0.75)
        fused = luma(Fuser(name, backend="torch")(mri, np.where(skull, 250, 0).astype(np.uint8)))
        assert fused[(radius > 0.64) & (radius < 0.71)].mean() > 0.7
        brain = radius < 0.5
        assert np.corrcoef(fused[brain], luma(mri)[brain])[0, 1] > 0.9

    def test_hue_is_that_of_the_coloured_slice(self, name: str) -> None:
        mri, pet = self.slices()
        fused = Fuser(name, backend="torch")(mri, pet)
        before, after = (
            colour.rgb_to_ycbcr(torch.from_numpy(x.astype(np.float64) / 255).permute(2, 0, 1))[1:] - 0.5
            for x in (pet, fused)
        )
        seen = (before.norm(dim=0) > 0.05) & (after.norm(dim=0) > 0.05)
        assert seen.float().mean() > 0.2
        cosine = torch.cosine_similarity(before, after, dim=0)[seen]
        assert cosine.min() > 0.98
