"""Crops: the same whoever asks and whenever, registered, in range; bad folders and files named."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmdl.errors import UserError
from cmmdl.files.images import write_image
from cmmdl.training.config import DataConfig, Source
from cmmdl.training.data import Crops, contrast, find_pairs, jitter_gamma, read_luma, reflect_up, resize
from cmmdl.training.losses import TERMS
from training_helpers import tiny_config, write_pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def crops(pairs: Path, seed: int = 0, **settings: object) -> Crops:
    return Crops(DataConfig(sources=(Source(ir=pairs / "ir", vis=pairs / "vis"),), **{"crop": 32, **settings}), seed)


def test_a_crop_depends_on_seed_and_number_alone(pairs: Path) -> None:
    first, second, other = crops(pairs), crops(pairs, memory_mb=0), crops(pairs, seed=1)
    backwards = [first[n] for n in reversed(range(8))][::-1]
    for n in range(8):
        crop = second[n]
        assert crop["name"] == backwards[n]["name"]
        for plane in ("ir", "vis", "mask"):
            assert torch.equal(crop[plane], backwards[n][plane])
            assert crop[plane].shape == (1, 32, 32)
            assert crop[plane].dtype == torch.float32
    assert torch.equal(first[3, 32]["ir"], first[3]["ir"])
    assert first[3, 48]["ir"].shape == (1, 48, 48), "a later phase may ask for another size"
    assert len({first[n]["name"] for n in range(8)}) > 4
    assert [other[n]["name"] for n in range(8)] != [first[n]["name"] for n in range(8)]


def test_modalities_stay_registered(tmp_path: Path) -> None:
    write_pairs(tmp_path, 2)
    for file in (tmp_path / "ir").iterdir():
        write_image(tmp_path / "vis" / file.name, 255 - read_luma(file))
    data = crops(tmp_path, scale=(0.6, 1.6))
    for n in range(12):
        assert torch.allclose(data[n]["ir"] + data[n]["vis"], torch.ones(1, 32, 32), atol=0.02)


def test_recombined_crops_have_the_visible_picture_of_another_pair(tmp_path: Path) -> None:
    write_pairs(tmp_path, 4)
    for number, file in enumerate(sorted((tmp_path / "ir").iterdir())):
        for side, level in (("ir", 10), ("vis", 50)):
            write_image(tmp_path / side / file.name, np.full((40, 48), level + number, np.uint8))

    def pairs_of(share: float) -> list[tuple[int, int]]:
        data = crops(tmp_path, recombine=share)
        return [tuple(round(255 * data[n][side].mean().item()) for side in ("ir", "vis")) for n in range(200)]  # type: ignore[misc]

    own, some, all_of_them = (np.array(pairs_of(share)) for share in (0.0, 0.25, 1.0))
    assert (own[:, 1] - own[:, 0] == 40).all()
    assert (some[:, 0] == own[:, 0]).all(), "what else is drawn stays"
    assert 0.15 < (some[:, 1] - some[:, 0] != 40).mean() < 0.36
    assert {int(b - a) for a, b in all_of_them} == {37, 38, 39, 41, 42, 43}, "never a pair with itself"


def test_augmentation_can_be_switched_off_and_reaches_all_eight_positions(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1, 32, 32)
    picture = torch.from_numpy(read_luma(tmp_path / "ir" / "scene0.png")).float() / 255
    plain = crops(tmp_path, scale=(1, 1), flip=False, rotate=False)
    assert all(torch.equal(plain[n]["ir"][0], picture) for n in range(4))
    augmented = crops(tmp_path, scale=(1, 1))
    assert len({augmented[n]["ir"].numpy().tobytes() for n in range(80)}) == 8


def test_small_pictures_are_mirrored_up(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1, 5, 50)
    crop = crops(tmp_path, scale=(1, 1), flip=False, rotate=False)[0]["vis"]
    assert crop.shape == (1, 32, 32)
    assert torch.equal(crop[0, 5], crop[0, 4])
    assert torch.equal(crop[0, 9], crop[0, 0])


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), side=st.integers(1, 20))
def test_reflecting_up_keeps_what_is_there(height: int, width: int, side: int) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (3, height, width)).astype(np.uint8)
    larger = reflect_up(planes, side)
    assert larger.shape == (3, max(height, side), max(width, side))
    assert np.array_equal(larger[:, :height, :width], planes)


def test_resizing_keeps_the_range_and_the_mean() -> None:
    planes = np.random.default_rng(0).integers(0, 256, (3, 48, 48)).astype(np.uint8)
    for side in (24, 48, 77):
        small = resize(planes, side)
        assert small.shape == (3, side, side)
        assert small.min() >= 0
        assert small.max() <= 1
        assert np.allclose(small.mean((1, 2)), planes.mean((1, 2)) / 255, atol=0.01)
    assert np.array_equal(resize(planes, 48), planes.astype(np.float32) / 255)


def test_jitter_keeps_black_and_white_and_moves_the_rest() -> None:
    planes = np.array([[[0.0, 0.5, 1.0]]] * 2, dtype=np.float32)
    moved = jitter_gamma(planes, 0.5, np.random.default_rng(0))
    assert np.array_equal(moved[..., [0, 2]], planes[..., [0, 2]])
    assert not np.isclose(moved[0, 0, 1], moved[1, 0, 1])
    assert np.array_equal(jitter_gamma(planes, 0.0, np.random.default_rng(0)), planes)


def test_flat_crops_are_drawn_again(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1)
    for name in ("ir", "vis"):
        for n in range(1, 4):
            write_image(tmp_path / name / f"scene{n}.png", np.full((72, 80), 90, dtype=np.uint8))
    flat = sum(contrast(crops(tmp_path)[n]["ir"].numpy()) < 0.05 for n in range(24))
    kept = sum(contrast(crops(tmp_path, min_contrast=0.05)[n]["ir"].numpy()) < 0.05 for n in range(24))
    assert flat > 10
    assert kept < 5


def test_sources_are_drawn_by_weight(tmp_path: Path) -> None:
    sources = tuple(
        Source(ir=write_pairs(tmp_path / name, 1) / "ir", vis=tmp_path / name / "vis", weight=weight)
        for name, weight in (("rare", 1), ("often", 9))
    )
    data = Crops(DataConfig(sources=sources, crop=16), 0)
    rare = sum(str(tmp_path / "rare") in data[n]["name"] for n in range(200))
    assert 8 < rare < 36


def test_crops_say_how_much_each_term_counts_for_their_source(tmp_path: Path) -> None:
    kinds: dict[str, dict[str, Any]] = {"real": {"factors": {"vif": 0.5, "en": 2}}, "drawn": {"without": ("en", "sd")}}
    expected = {"real": {"vif": 0.5, "en": 2.0}, "drawn": {"en": 0.0, "sd": 0.0}}
    folders = {name: write_pairs(tmp_path / name, 1) for name in kinds}
    sources = tuple(Source(ir=folders[name] / "ir", vis=folders[name] / "vis", **kinds[name]) for name in kinds)
    data = Crops(DataConfig(sources=sources, crop=16), 0)
    seen = set()
    for crop in (data[n] for n in range(20)):
        name = "drawn" if str(tmp_path / "drawn") in crop["name"] else "real"
        unlike = {name: count for name, count in zip(TERMS, crop["counts"].tolist(), strict=True) if count != 1}
        assert unlike == expected[name]
        seen.add(name)
    assert seen == set(kinds)


def test_masks_come_along(tmp_path: Path) -> None:
    write_pairs(tmp_path, 1, 40, 40)
    (tmp_path / "mask").mkdir()
    write_image(tmp_path / "mask" / "scene0.png", read_luma(tmp_path / "ir" / "scene0.png"))
    source = Source(ir=tmp_path / "ir", vis=tmp_path / "vis", mask=tmp_path / "mask")
    crop = Crops(DataConfig(sources=(source,), crop=32), 0)[3]
    assert torch.equal(crop["mask"], crop["ir"])


def test_luma_of_every_depth(tmp_path: Path) -> None:
    colour = np.zeros((2, 3, 3), dtype=np.uint8)
    colour[0, 0], colour[0, 1], colour[0, 2] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    write_image(tmp_path / "a.png", colour)
    assert read_luma(tmp_path / "a.png")[0].tolist() == [76, 150, 29]
    write_image(tmp_path / "b.png", np.array([[0, 257 * 100, 65535]], dtype=np.uint16))
    assert read_luma(tmp_path / "b.png")[0].tolist() == [0, 100, 255]


def test_bad_folders_and_files_are_named(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "good", 3)
    (pairs / "vis" / "scene1.png").write_bytes(b"no picture")
    write_image(pairs / "vis" / "scene2.png", np.zeros((9, 9), dtype=np.uint8))
    with pytest.raises(UserError, match=r"2 bad training pairs: .*scene1\.png.*scene2\.png.*differ in size"):
        crops(pairs)
    with pytest.raises(UserError, match=r"nowhere.ir "):
        crops(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"empty contains no pictures"):
        Crops(DataConfig(sources=(Source(ir=pairs / "ir", vis=tmp_path / "empty"),)), 0)


def test_pairs_that_are_left_out(tmp_path: Path) -> None:
    pairs, stems = write_pairs(tmp_path, 3), tmp_path / "held-out.txt"
    source = Source(ir=pairs / "ir", vis=pairs / "vis", leave_out=stems)
    stems.write_text("scene1\n\n")
    assert [pair.name for pair in find_pairs(source)[0]] == ["scene0", "scene2"]
    stems.write_text("scene0\nscene1\nscene2\n")
    with pytest.raises(UserError, match=r"held-out\.txt leaves no pair"):
        find_pairs(source)


def test_misspelt_stems_to_leave_out_are_refused(tmp_path: Path) -> None:
    one, two = write_pairs(tmp_path / "one", 2), write_pairs(tmp_path / "two", 3)
    stems = tmp_path / "held-out.txt"
    sources = tuple(Source(ir=pairs / "ir", vis=pairs / "vis", leave_out=stems) for pairs in (one, two))
    stems.write_text("scene1\nscene2\n")  # one list may be of several sources: scene2 is in the second only
    assert [len(pairs) for pairs in Crops(DataConfig(sources=sources), 0).pairs] == [1, 1]
    stems.write_text("scene1\nscene2.png\n")
    with pytest.raises(
        UserError, match=r"names stems that none of its sources has: scene2\.png; did you mean 'scene2'"
    ):
        Crops(DataConfig(sources=sources), 0)


def test_names_that_differ_and_folders_below(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "flat", 2)
    for side, mark in (("ir", "IR_"), ("vis", "RGB_")):
        (tmp_path / side / "roof").mkdir(parents=True)
        for path in (pairs / side).iterdir():
            path.rename(tmp_path / side / "roof" / f"{mark}{path.name}")
    (tmp_path / "mask/roof").mkdir(parents=True)
    shutil.copy(tmp_path / "ir/roof/IR_scene0.png", tmp_path / "mask/roof/RGB_scene0.png")
    source = Source(ir=tmp_path / "ir", vis=tmp_path / "vis", mask=tmp_path / "mask", recursive=True)
    found, notes = find_pairs(source)
    assert [pair.name for pair in found] == ["roof/scene0", "roof/scene1"]
    assert [bool(pair.mask) for pair in found] == [True, False]
    assert "IR_*" in notes[0]
    named = source.model_copy(update={"ir_name": "IR_*", "vis_name": "RGB_*"})
    assert [pair.name for pair in find_pairs(named)[0]] == ["roof/scene0", "roof/scene1"]


def test_unpaired_files_are_noted(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 2)
    (pairs / "vis" / "scene1.png").rename(pairs / "vis" / "alone.png")
    notes = crops(pairs).notes
    assert len(notes) == 1
    assert "2 left out" in notes[0]
    assert "no picture 'scene1'" in notes[0]
    assert "no picture 'alone'" in notes[0]


def test_the_tiny_configuration_of_these_tests_is_valid(tmp_path: Path) -> None:
    assert tiny_config(tmp_path, tmp_path, "run.steps=3").run.steps == 3
