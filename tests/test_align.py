"""Registration: known warps of drawn scenes come back, other pictures are named, files survive a round trip."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cmmdl.align import Alignment, blend, grid, identity, load, onto_vis, register, save
from cmmdl.align.check import look
from cmmdl.align.elastic import levelled
from cmmdl.align.geometry import corner_error, inverse, moved, resizing, sane, shifting, turning
from cmmdl.align.judge import Evidence, Support, confidence
from cmmdl.align.kinds import nearest, through
from cmmdl.align.level import refine
from cmmdl.align.maps import plane
from cmmdl.align.registration import FINE, ROUGH, Guess, apart, rivalled
from cmmdl.align.rig import median
from cmmdl.align.thumbs import firsts
from cmmdl.align.warp import largest_rectangle, soft
from cmmdl.errors import UserError
from cmmdl.scenes import synthetic_pair
from conftest import ROOT

Picture = np.ndarray
MISALIGNED = ROOT.parent / "shared" / "cases" / "misaligned"


@pytest.fixture(scope="module")
def pair() -> tuple[Picture, Picture]:
    return synthetic_pair(240, 320, 3)


def moved_picture(picture: Picture, matrix: Picture) -> Picture:
    """The picture whose content a matrix moves."""
    return cv2.warpPerspective(picture, matrix, picture.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)


class TestRegister:
    @pytest.mark.parametrize(
        "matrix", [shifting(9, -6), turning(3, 1.05, (150, 100)), shifting(-20, 12) @ turning(-4, 0.9, (160, 120))]
    )
    def test_a_known_warp_comes_back(self, pair: tuple[Picture, Picture], matrix: Picture) -> None:
        found = register(moved_picture(pair[0], matrix), pair[1], "affine")
        assert found.status == "ok"
        assert corner_error(found.matrix, inverse(matrix), (320, 240)) < 2

    def test_a_right_pair_is_aligned_by_the_simplest_transform(self, pair: tuple[Picture, Picture]) -> None:
        found = register(*pair)
        assert (found.verdict(), found.warp) == ("aligned", "translation")
        assert found.largest_shift < 1

    def test_a_narrow_and_small_infrared_picture(self, pair: tuple[Picture, Picture]) -> None:
        big = synthetic_pair(480, 640, 3)
        part = cv2.resize(big[0][72:408, 96:544], (160, 120), interpolation=cv2.INTER_AREA)
        found = register(part, big[1], "similarity")
        assert found.ok
        assert found.scale == pytest.approx(0.7, abs=0.02)
        right, bottom = moved(found.matrix, np.array([[159.0, 119.0]]))[0]
        assert (right, bottom) == (pytest.approx(542, abs=5), pytest.approx(406, abs=5))

    def test_mirrored_and_foreign_pictures_are_named(self, pair: tuple[Picture, Picture]) -> None:
        assert register(np.ascontiguousarray(pair[0][:, ::-1]), pair[1]).status == "mirrored"
        ir, vis = synthetic_pair(240, 320, 4)
        assert register(np.ascontiguousarray(ir[:, ::-1]), vis).status == "mirrored"
        noise = np.random.default_rng(0).integers(0, 256, (240, 320), dtype=np.uint8)
        assert register(cv2.GaussianBlur(noise, (0, 0), 2), pair[1]).status == "foreign"

    @pytest.mark.parametrize("seed", [0, 1, 5, 9, 12])
    def test_no_mirrored_scene_passes_as_right(self, seed: int) -> None:
        ir, vis = synthetic_pair(240, 320, seed)
        assert register(np.ascontiguousarray(ir[:, ::-1]), vis, "affine").status == "mirrored"

    def test_an_answer_needs_more_than_the_mirrored_picture_has(self) -> None:
        sure = Alignment(np.eye(3), "affine", (50, 40), (50, 40), "ok", 1.0, 0.9)
        doubted = rivalled(sure, Guess(np.eye(3), 0.9), Guess(np.eye(3), 0.8))
        assert (doubted.status, doubted.confidence < 0.5) == ("low_confidence", True)
        assert rivalled(sure, Guess(np.eye(3), 0.9), Guess(np.eye(3), 0.6)) == sure

    def test_an_affine_transform_lies_half_way_to_the_mean_of_its_field(self) -> None:
        bend = np.zeros((9, 12, 2), np.float32) + np.float32([3, -2])
        found = levelled(np.eye(3), bend, (120, 90), (120, 90))
        assert found == pytest.approx(shifting(-1.5, 1), abs=1e-4)
        stretched = np.stack(np.meshgrid(np.linspace(0, 11.9, 12), np.zeros(9)), axis=-1).astype(np.float32)
        assert levelled(np.eye(3), stretched, (200, 90), (120, 90))[0, 0] == pytest.approx((1 + 1 / 1.1) / 2, abs=1e-3)
        assert np.array_equal(levelled(np.eye(3), bend, (20, 15), (120, 90)), np.eye(3))

    @pytest.mark.parametrize("shape", [(1, 1), (8, 8), (240, 320)])
    def test_blank_and_tiny_pictures_hold_too_little(
        self, pair: tuple[Picture, Picture], shape: tuple[int, int]
    ) -> None:
        assert register(np.full(shape, 7, np.uint8), pair[1]).status == "too_little_structure"
        assert register(np.full(shape, np.nan, np.float32), pair[1]).status == "too_little_structure"

    def test_nan_is_a_gap_and_polarity_and_depth_do_not_matter(self, pair: tuple[Picture, Picture]) -> None:
        celsius = 40 - pair[0].astype(np.float32) / 10
        celsius[:40, :50] = np.nan
        found = register(moved_picture(celsius, shifting(6, 4)), pair[1], "translation")
        assert found.ok
        assert found.shift == (pytest.approx(-6, abs=1), pytest.approx(-4, abs=1))

    def test_elastic_follows_a_smooth_field(self, pair: tuple[Picture, Picture]) -> None:
        ir, vis = synthetic_pair(384, 512, 5)
        y, x = np.mgrid[0:384, 0:512].astype(np.float32)
        bend = 3 * np.sin(x / 80), 3 * np.cos(y / 70)
        bent = cv2.remap(ir, x + bend[0], y + bend[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
        errors = []
        for warp in ("affine", "elastic"):
            found = register(bent, vis, warp)
            u, v = grid(found).places_in_ir()
            there = [cv2.remap(places, u, v, cv2.INTER_LINEAR) for places in (x + bend[0], y + bend[1])]
            errors.append(float(np.hypot(there[0] - x, there[1] - y)[20:-20, 20:-20].mean()))
        assert errors[1] < 1.8
        assert errors[1] < 0.8 * errors[0]

    def test_small_pictures_have_enough_blocks_to_be_judged_by(self, pair: tuple[Picture, Picture]) -> None:
        ir, vis = (plane(cv2.resize(one, (160, 120), interpolation=cv2.INTER_AREA)) for one in pair)
        found = refine(ir, vis, np.eye(3), "affine", FINE)
        assert found is not None
        assert found.size == (160, 120)
        assert len(found.surfaces.centres) == 8 * 6
        assert refine(ir, vis, np.eye(3), "affine", ROUGH) is not None

    def test_the_way_back_is_measured_where_both_pictures_are(self) -> None:
        plain, doubled = np.eye(3), np.diag([2.0, 2.0, 1.0])
        assert apart(shifting(3, 4), plain, (100, 80), (100, 80)) == pytest.approx(5)
        # The infrared picture is twice as wide as the visible one: what happens beyond its frame does not count.
        turned_there = turning(2, 1, (50, 40)) @ doubled
        seen, all_of_it = (
            apart(turned_there, doubled, (100, 80), (101, 81)),
            corner_error(turned_there, doubled, (100, 80)),
        )
        assert seen == pytest.approx(2 * np.sin(np.deg2rad(1)) * np.hypot(50, 40), rel=1e-6)
        assert all_of_it > 1.5 * seen
        assert apart(plain, shifting(500, 0), (100, 80), (100, 80)) == float("inf")

    @pytest.mark.parametrize(
        ("share", "halves", "back", "expected"),
        [
            (0.24, 0.0, 0.0, 0.5),
            (0.48, 4.0, 0.0, 1 / (2 + 2**-6)),
            (0.48, 0.0, 14.4, 1 / (2 + 2**-6)),
            (0, 0.0, 0.0, 0),
        ],
    )
    def test_the_gate_adds_up_the_doubts(self, share: float, halves: float, back: float, expected: float) -> None:
        none = np.zeros(0)
        seen = Evidence(Support(share, 100, none.astype(bool), none), halves, 1.0, 1.0)
        assert confidence(seen, back) == pytest.approx(expected, abs=1e-6)

    def test_an_unknown_warp_is_refused(self, pair: tuple[Picture, Picture]) -> None:
        with pytest.raises(ValueError, match="the warp must be one of"):
            register(*pair, "bilinear")


class TestLook:
    @pytest.mark.parametrize(
        ("length", "side", "expected"), [(64, 16, [0, 16, 32, 48]), (48, 16, [0, 16, 32]), (20, 18, [0, 2])]
    )
    def test_blocks_reach_from_edge_to_edge(self, length: int, side: int, expected: list[int]) -> None:
        assert firsts(length, side) == expected

    def test_right_shifted_and_mirrored(self, pair: tuple[Picture, Picture]) -> None:
        ir, vis = pair
        assert look(ir, vis).verdict == "aligned"
        seen = look(moved_picture(ir, shifting(14, 9)), vis)
        assert seen.verdict == "shifted"
        assert seen.shift == (pytest.approx(-14, abs=3), pytest.approx(-9, abs=3))
        assert look(np.ascontiguousarray(ir[:, ::-1]), vis).verdict == "mirrored"

    def test_no_false_alarm_on_right_pairs_and_few_misses(self) -> None:
        verdicts: dict[str, list[str]] = {"right": [], "shifted": [], "mirrored": [], "foreign": []}
        scenes = [synthetic_pair(240, 320, seed) for seed in range(8)]
        random = np.random.default_rng(0)
        for ir, vis in scenes:
            other = cv2.GaussianBlur(random.integers(0, 256, ir.shape, dtype=np.uint8), (0, 0), 3)
            verdicts["right"].append(look(ir, vis).verdict)
            verdicts["shifted"].append(look(moved_picture(ir, shifting(-11, 9)), vis).verdict)
            verdicts["mirrored"].append(look(np.ascontiguousarray(ir[:, ::-1]), vis).verdict)
            verdicts["foreign"].append(look(other, vis).verdict)
        assert set(verdicts["right"]) == {"aligned"}
        for kind in ("shifted", "mirrored", "foreign"):
            assert verdicts[kind].count(kind) >= 6, (kind, verdicts[kind])

    @pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.float64])
    def test_any_number_type_and_gaps(self, pair: tuple[Picture, Picture], dtype: type) -> None:
        ir = (pair[0].astype(np.float64) * 5 + 3000).astype(dtype)
        if ir.dtype.kind == "f":
            ir[:30, :40] = np.nan
        assert look(ir, pair[1]).verdict == "aligned"
        assert look(moved_picture(ir, shifting(14, 9)), pair[1]).verdict == "shifted"

    def test_nothing_is_said_of_blank_tiny_and_empty_backgrounds(self, pair: tuple[Picture, Picture]) -> None:
        assert look(np.zeros((240, 320), np.uint8), pair[1]).verdict == "unsure"
        assert look(pair[0][:9, :9], pair[1][:9, :9]).verdict == "unsure"
        head = np.zeros((128, 128), np.uint8)
        cv2.circle(head, (64, 64), 40, 200, -1)
        assert look(head, np.roll(head, 8, axis=1)).verdict == "unsure"

    @pytest.mark.skipif(not MISALIGNED.exists(), reason="needs ../shared/cases")
    @pytest.mark.parametrize(
        ("name", "verdict"),
        [
            ("ir", "aligned"),
            ("ir_shift8", "shifted"),
            ("ir_rot2", "shifted"),
            ("ir_flip", "mirrored"),
            ("ir_otherscene", "foreign"),
        ],
    )
    def test_files_as_people_have_them(self, name: str, verdict: str) -> None:
        ir, vis = (cv2.imread(str(MISALIGNED / f"{stem}.png"), cv2.IMREAD_UNCHANGED) for stem in (name, "vis"))
        assert look(ir, vis).verdict == verdict
        assert register(ir, vis).verdict() == verdict


class TestGeometry:
    def test_resizing_keeps_corners_of_pixels_in_place(self) -> None:
        points = np.array([[-0.5, -0.5], [159.5, 119.5]])
        assert moved(resizing((160, 120), (640, 480)), points) == pytest.approx(
            np.array([[-0.5, -0.5], [639.5, 479.5]])
        )

    def test_nearest_of_its_own_kind_is_the_same(self) -> None:
        matrices = {
            "translation": shifting(5, -3) @ resizing((320, 240), (640, 480)),
            "similarity": turning(7, 1.2, (30, 40)),
            "affine": np.array([[1.1, 0.05, 4], [-0.02, 0.93, 7], [0, 0, 1]]),
            "homography": np.array([[1.1, 0.05, 4], [-0.02, 0.93, 7], [1e-4, -2e-4, 1]]),
        }
        for kind, matrix in matrices.items():
            assert nearest(matrix, kind, (320, 240), (640, 480)) == pytest.approx(matrix, abs=1e-6), kind

    def test_a_similarity_through_noisy_points_is_one(self) -> None:
        points = np.array([[0, 0], [100, 0], [100, 80], [0, 80], [50, 40.0]])
        noisy = moved(turning(5, 1.1, (50, 40)), points) + np.random.default_rng(0).normal(0, 1, points.shape)
        (a, b, _), (c, d, _), _ = through(points, noisy, "similarity", np.eye(3))
        assert (a, b) == (pytest.approx(d), pytest.approx(-c))

    def test_folds_and_collapses_are_not_sane(self) -> None:
        assert sane(turning(30, 2, (10, 10)), (100, 80))
        for wrong in (
            np.zeros((3, 3)),
            np.diag([-1.0, 1, 1]),
            np.array([[1, 0, 0], [0, 1, 0], [0.02, 0, 1.0]]) * np.nan,
        ):
            assert not sane(wrong, (100, 80))

    def test_rotation_and_scale_are_read_off(self) -> None:
        found = Alignment(turning(4, 1.25, (160, 120)), "similarity", (321, 241), (321, 241))
        assert (found.degrees, found.scale) == (pytest.approx(4), pytest.approx(1.25))
        assert found.shift == pytest.approx((0, 0), abs=1e-9)


class TestGrids:
    def test_identity_gives_the_picture_back(self, pair: tuple[Picture, Picture]) -> None:
        same = identity((320, 240), (320, 240))
        assert np.array_equal(onto_vis(pair[0], same), pair[0])
        assert (grid(same).cover() == 1).all()

    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
    def test_a_whole_shift_moves_pixels_exactly(self, dtype: Any) -> None:
        picture = np.random.default_rng(1).integers(0, 250, (40, 50)).astype(dtype)
        there = onto_vis(picture, Alignment(shifting(7, -3), "translation", (50, 40), (50, 40)))
        assert there.dtype == dtype
        assert np.array_equal(there[:37, 7:], picture[3:, :43])

    def test_grids_have_the_pixels_they_promise(self, pair: tuple[Picture, Picture]) -> None:
        ir, vis = pair[0][:120, :160], pair[1]
        found = Alignment(shifting(100, 60), "translation", (160, 120), (320, 240))
        part, own = grid(found, "overlap"), grid(found, "ir")
        assert part.size == own.size == (160, 120)
        assert np.array_equal(part.vis(vis), vis[60:180, 100:260])
        assert np.array_equal(part.ir(ir), ir)
        assert np.array_equal(own.vis(vis), vis[60:180, 100:260])
        cover = grid(found).cover()
        assert (cover.shape, cover.min(), cover.max()) == ((240, 320), 0, 1)
        assert cover[:60].max() == 0
        assert cover[120, 180] == 1

    def test_nan_is_not_covered(self) -> None:
        celsius = np.ones((60, 80), np.float32)
        celsius[20:40, 30:50] = np.nan
        whole = grid(identity((80, 60), (80, 60)))
        cover = whole.cover(celsius)
        assert cover[30, 40] == 0
        assert cover[30, 5] == 1
        assert np.isfinite(whole.ir(celsius)).all()

    def test_pictures_apart_have_no_overlap(self) -> None:
        with pytest.raises(ValueError, match="do not overlap"):
            grid(Alignment(shifting(500, 0), "translation", (50, 40), (50, 40)), "overlap")

    def test_blend_keeps_the_visible_picture_outside(self) -> None:
        fused, vis = np.full((4, 4, 3), 200, np.uint8), np.full((4, 4, 3), 100, np.uint8)
        cover = np.zeros((4, 4), np.float32)
        cover[:, 2], cover[:, 3] = 0.5, 1
        assert blend(fused, vis, cover)[0, :, 0].tolist() == [100, 100, 150, 200]

    def test_the_soft_border_starts_at_the_edge_of_infrared_not_of_the_picture(self) -> None:
        inside = np.zeros((30, 30), bool)
        inside[:, :20] = True
        cover = soft(inside, 5)
        assert cover[10, 0] == 1
        assert 0 < cover[10, 19] < 0.2
        assert (np.diff(cover[10]) <= 0).all()

    def test_the_largest_rectangle(self) -> None:
        inside = np.zeros((8, 10), bool)
        inside[1:4, 2:9] = True
        inside[5:8, 0:4] = True
        assert largest_rectangle(inside) == (2, 1, 7, 3)
        assert largest_rectangle(np.zeros((3, 3), bool)) == (0, 0, 0, 0)


class TestFiles:
    def test_a_transform_comes_back(self, tmp_path: Path) -> None:
        bent = np.random.default_rng(0).normal(size=(5, 6, 2)).astype(np.float32)
        before = Alignment(turning(3, 1.1, (20, 30)), "elastic", (160, 120), (640, 480), "ok", 1.25, 0.875, bent)
        save(before, tmp_path / "a.json")
        after = load(tmp_path / "a.json")
        assert after.matrix == pytest.approx(before.matrix, rel=1e-7)
        assert np.array_equal(after.field, bent)
        assert (after.warp, after.ir_size, after.vis_size) == ("elastic", (160, 120), (640, 480))
        assert (after.residual_px, after.confidence) == (1.25, 0.875)

    @pytest.mark.parametrize(
        "change",
        [
            {"matrix": [[1, 0, 0], [0, 0, 0], [0, 0, 1]]},
            {"matrix": [[1, 0, float("nan")], [0, 1, 0], [0, 0, 1]]},
            {"matrix": [1, 2]},
            {"ir_size": [0, 5]},
            {"vis_size": None},
            {"field": "missing.npy"},
        ],
    )
    def test_files_that_are_no_transform_are_named(self, tmp_path: Path, change: dict[str, Any]) -> None:
        path = tmp_path / "t.json"
        save(identity((50, 40), (50, 40)), path)
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
        with pytest.raises(UserError, match=r"t\.json"):
            load(path)

    def test_no_json_and_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "t.json").write_text("[]")
        for name in ("t.json", "none.json"):
            with pytest.raises(UserError, match=name):
                load(tmp_path / name)


class TestRig:
    def test_the_median_outvotes_a_wrong_pair(self) -> None:
        right = [
            Alignment(turning(2, 1.1, (160, 120)) @ shifting(dx, 0), "similarity", (321, 241), (321, 241))
            for dx in (-0.5, 0, 0.5)
        ]
        wrong = Alignment(shifting(90, 40), "similarity", (321, 241), (321, 241))
        unsure = Alignment(shifting(-70, 0), "similarity", (321, 241), (321, 241), "low_confidence")
        found = median([*right, wrong, unsure])
        assert corner_error(found.matrix, right[1].matrix, (321, 241)) < 0.6

    def test_no_sure_pair_is_an_error(self) -> None:
        unsure = Alignment(np.eye(3), "affine", (50, 40), (50, 40), "foreign")
        with pytest.raises(UserError, match="none of 1 pairs"):
            median([unsure])
