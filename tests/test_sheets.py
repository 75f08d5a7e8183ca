"""Sheets of pictures: what is where, which pairs are shown, and what is told of those that are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cmmdl import Fuser
from cmmdl.cli import main
from cmmdl.errors import UserError
from cmmdl.evaluate.scenes import Scene
from cmmdl.evaluate.sheets import GAP, MARK, Crop, SheetRow, Style, cell, choose, lay_out, shown
from cmmdl.files.images import read_image, write_image
from cmmdl.scenes import synthetic_pair


@pytest.fixture(autouse=True)
def keep_the_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command may set its process's allocator; this process is shared with other tests."""
    monkeypatch.setattr("cmmdl.models.allocator.reuse_memory", lambda: True)


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Three pairs of different sizes and formats."""
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
    for stem, (height, width) in {"a": (60, 81), "b": (90, 70), "c": (61, 120)}.items():
        ir, vis = synthetic_pair(height, width, seed=ord(stem))
        write_image(tmp_path / f"ir/{stem}.png", ir)
        write_image(tmp_path / f"vis/{stem}.bmp", vis)
    return tmp_path


@pytest.fixture
def sheet(folders: Path) -> Callable[..., Result]:
    """Calls the command on the folders."""

    def call(*arguments: object) -> Result:
        line = ["sheet", folders / "ir", folders / "vis", "-o", folders / "sheet.png", *arguments]
        return CliRunner().invoke(main, list(map(str, line)), catch_exceptions=False)

    return call


def at(picture: np.ndarray, part: np.ndarray) -> tuple[int, int] | None:
    """Where a part lies in a picture to the pixel: row and column."""
    height, width = part.shape[:2]
    for row, column in np.argwhere((picture == part[0, 0]).all(axis=2)):
        if np.array_equal(picture[row : row + height, column : column + width], part):
            return int(row), int(column)
    return None


def test_every_picture_is_where_its_row_and_column_say(sheet: Callable[..., Result], folders: Path) -> None:
    result = sheet("--methods", "mean,max", "--full")
    assert result.exit_code == 0
    assert "pairs 3, columns infrared, visible, mean, max" in result.stdout
    drawn = read_image(folders / "sheet.png")
    places = []
    for stem in "abc":
        ir, vis = folders / f"ir/{stem}.png", folders / f"vis/{stem}.bmp"
        pictures = [read_image(ir), read_image(vis), *(np.asarray(Fuser(name)(ir, vis)) for name in ("mean", "max"))]
        found = [at(drawn, shown(picture, "")) for picture in pictures]
        assert None not in found
        places.append([place for place in found if place])
        assert len({row for row, _ in places[-1]}) == 1
        assert [column for _, column in places[-1]] == sorted({column for _, column in places[-1]})
    tops = [row[0][0] for row in places]
    assert np.diff(tops).tolist() == [60 + GAP, 90 + GAP]
    assert drawn.shape[0] == tops[-1] + 61 + GAP
    assert (drawn[: tops[0]] < 128).any()  # the title and the names of the columns
    assert (drawn[tops[0] :, : places[2][0][1]] < 128).any()  # the names of the rows


def test_columns_have_the_width_that_was_asked_for(sheet: Callable[..., Result], folders: Path) -> None:
    assert sheet("--methods", "mean", "--width", "100", "--stems", "c", "--title", "").exit_code == 0
    narrow = read_image(folders / "sheet.png").shape
    assert sheet("--methods", "mean", "--width", "200", "--stems", "c", "--title", "", "--overwrite").exit_code == 0
    wide = read_image(folders / "sheet.png").shape
    assert (wide[1] - narrow[1], wide[0] - narrow[0]) == (300, 102 - 51)  # three columns of 120x61


def test_pictures_fused_elsewhere(sheet: Callable[..., Result], folders: Path) -> None:
    (folders / "theirs").mkdir()
    for stem, size in {"a": (60, 81), "b": (90, 70)}.items():
        write_image(folders / f"theirs/{stem}.png", synthetic_pair(*size, seed=99)[1])
    result = sheet("--fused", f"theirs={folders / 'theirs'}", "--full")
    assert result.exit_code == 3
    assert "1 left out:\n  c (theirs): there is no such file" in result.stderr
    assert at(read_image(folders / "sheet.png"), synthetic_pair(60, 81, seed=99)[1])
    named = sheet("--fused", f"theirs={folders / 'theirs'}", "--stems", "b,a", "--overwrite")
    assert (named.exit_code, named.stderr) == (0, "")


def test_a_bad_pair_is_named_and_the_others_are_shown(sheet: Callable[..., Result], folders: Path) -> None:
    (folders / "ir/a.png").write_bytes(b"\x89PNG broken")
    write_image(folders / "ir/b.png", np.zeros((90, 71), np.uint8))
    result = sheet("--methods", "mean")
    assert result.exit_code == 3
    assert "2 left out:" in result.stderr
    assert "a: " in result.stderr
    assert "71x90" in result.stderr
    assert "pairs 1, columns infrared, visible, mean" in result.stdout
    (folders / "vis/c.bmp").write_bytes(b"BM")
    nothing = sheet("--methods", "mean", "--overwrite")
    assert nothing.exit_code == 1
    assert "no pair can be shown" in nothing.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods", "mean,cmmdl-nope"], "no model or file is called 'cmmdl-nope'"),
        (["--methods", "mean,mean"], "names 'mean' twice"),
        (["--methods", "mean", "--fused", "mean=x"], "names a column that already exists"),
        (["--fused", "x"], "is not NAME=PATH"),
        (["--fused", "x=none"], "there is no such file or folder"),
        (["--stems", "z"], "there is no pair 'z' in all folders; there are a, b, c"),
        (["--crop", "1,2,3"], "give four numbers"),
        (["--inset", "0,0,0,5"], "is empty or starts outside the picture"),
        (["--crop", "0,0,200,200"], "does not fit into 81x60"),
        (["--width", "20000"], "take fewer pairs (--count) or smaller pictures (--width)"),
    ],
)
def test_mistakes_are_told_and_nothing_is_written(
    sheet: Callable[..., Result], folders: Path, arguments: list[str], message: str
) -> None:
    result = sheet(*arguments)
    assert result.exit_code in (1, 2)
    assert message in result.stderr
    assert not (folders / "sheet.png").exists()


def test_an_existing_sheet_is_kept(sheet: Callable[..., Result], folders: Path) -> None:
    (folders / "sheet.png").write_text("mine")
    assert "pass --overwrite" in sheet().stderr
    assert (folders / "sheet.png").read_text() == "mine"


def test_two_files(folders: Path) -> None:
    line = ["sheet", folders / "ir/a.png", folders / "vis/a.bmp", "-o", folders / "one.png", "--methods", "mean"]
    result = CliRunner().invoke(main, list(map(str, line)), catch_exceptions=False)
    assert result.exit_code == 0
    assert read_image(folders / "one.png").shape[1] > 3 * 320


def test_medical_columns_have_their_names(folders: Path) -> None:
    (folders / "ir").rename(folders / "mri")
    (folders / "vis").rename(folders / "PET")
    line = ["sheet", folders / "mri", folders / "PET", "-o", folders / "one.png", "--methods", "max"]
    assert "columns MRI, PET, max" in CliRunner().invoke(main, list(map(str, line)), catch_exceptions=False).stdout


def test_stretch_changes_what_is_fused_here_only(sheet: Callable[..., Result], folders: Path) -> None:
    ir, vis = folders / "ir/a.png", folders / "vis/a.bmp"
    assert sheet("--methods", "mean", "--stems", "a", "--full", "--stretch").exit_code == 0
    drawn = read_image(folders / "sheet.png")
    stretched, plain = (np.asarray(Fuser("mean", stretch=on)(ir, vis)) for on in (True, False))
    assert not np.array_equal(stretched, plain)
    assert at(drawn, stretched)
    assert at(drawn, shown(read_image(ir), ""))
    assert at(drawn, plain) is None


def test_crop_shows_that_part(folders: Path) -> None:
    picture = read_image(folders / "vis/c.bmp")
    for box in (Crop.parse("30,10,60,20"), Crop.parse("0.25,0.1639,0.5,0.3279")):
        np.testing.assert_array_equal(np.asarray(cell(picture, Style(None, box))), picture[10:30, 30:90])


def test_the_inset_is_enlarged_in_the_far_corner() -> None:
    picture = np.zeros((100, 200, 3), np.uint8)
    picture[10:20, 10:30] = (0, 0, 200)
    drawn = np.asarray(cell(picture, Style(None, None, Crop(10, 10, 20, 10))))
    assert (drawn[80, 160] == (0, 0, 200)).all()  # 80x40 at the lower right
    assert (drawn[60, 120] == MARK).all()  # its frame
    assert (drawn[59, 120] == 0).all()
    assert (drawn[10, 10] == MARK).all()  # the frame of the part
    assert (drawn[15, 20] == (0, 0, 200)).all()


def test_any_depth_is_shown_on_eight_bits() -> None:
    assert shown(np.array([[0, 257, 65535]], np.uint16), "x")[0, :, 1].tolist() == [0, 1, 255]
    assert shown(np.array([[0, 0.5, 1]], np.float32), "x")[0, :, 2].tolist() == [0, 128, 255]
    with pytest.raises(UserError, match=r"x: a float picture must lie in \[0, 1\]"):
        shown(np.array([[2.0]], np.float32), "x")


def test_pairs_are_spread_over_all() -> None:
    scenes = [Scene(str(number), Path(), Path(), {}) for number in range(25)]
    assert [scene.name for scene in choose(scenes, count=4)] == ["0", "8", "16", "24"]
    assert choose(scenes, count=99) == scenes
    assert [scene.name for scene in choose(scenes, count=1)] == ["0"]
    assert [scene.name for scene in choose(scenes, stems=["7", "3"], count=1)] == ["7", "3"]


def test_long_names_are_cut_in_the_middle() -> None:
    image = cell(np.zeros((20, 100, 3), np.uint8), Style(None))
    name = "a_very_long_name_of_a_picture_that_never_ends_0001"
    drawn = lay_out([SheetRow(name, (image, image))], ["infrared" * 20, "visible"], "title " * 99)
    assert drawn.shape[1] < 350


def test_one_pixel(tmp_path: Path) -> None:
    for name in ("ir", "vis"):
        write_image(tmp_path / f"{name}.png", np.full((1, 1), 90, np.uint8))
    line = ["sheet", tmp_path / "ir.png", tmp_path / "vis.png", "-o", tmp_path / "s.png", "--methods", "mean", "--full"]
    assert CliRunner().invoke(main, list(map(str, line)), catch_exceptions=False).exit_code == 0
