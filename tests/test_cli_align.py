"""``cmmdl align``, and what ``cmmdl fuse`` does about pairs that do not lie on each other."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cmmdl.align.geometry import shifting
from cmmdl.cli import main
from cmmdl.scenes import synthetic_pair

SIZE = (192, 256)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def write(path: Path, picture: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1] if picture.ndim == 3 else picture)
    return path


def shifted(picture: np.ndarray, x: float, y: float) -> np.ndarray:
    return cv2.warpPerspective(picture, shifting(x, y), picture.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``ir.png`` and ``vis.png``, and ``moved.png`` and ``flipped.png`` that do not lie on it."""
    folder = tmp_path_factory.mktemp("pair")
    ir, vis = synthetic_pair(*SIZE, 3)
    write(folder / "ir.png", ir)
    write(folder / "vis.png", vis)
    write(folder / "moved.png", shifted(ir, 12, -7))
    write(folder / "flipped.png", np.ascontiguousarray(ir[:, ::-1]))
    return folder


class TestAlign:
    def test_the_verdict_is_the_status(self, files: Path) -> None:
        right = run("align", files / "ir.png", files / "vis.png")
        assert (right.exit_code, right.stdout.splitlines()[0]) == (0, "ir: aligned")
        wrong = run("align", files / "moved.png", files / "vis.png")
        assert (wrong.exit_code, wrong.stdout.splitlines()[0]) == (3, "moved: shifted")
        assert run("align", files / "moved.png", files / "vis.png", "--tolerance", 20).exit_code == 0
        flipped = run("align", files / "flipped.png", files / "vis.png")
        assert flipped.exit_code == 3
        assert "mirrored" in flipped.stdout

    def test_it_writes_the_warped_picture_and_the_transform(self, files: Path, tmp_path: Path) -> None:
        out, place = tmp_path / "warped.png", tmp_path / "t.json"
        run("align", files / "moved.png", files / "vis.png", "-o", out, "--save", place)
        told = json.loads(place.read_text())
        assert list(told) == ["matrix", "warp", "ir_size", "vis_size", "status", "residual_px", "confidence"]
        assert (told["ir_size"], told["vis_size"], told["status"]) == ([256, 192], [256, 192], "ok")
        assert told["matrix"][0][2] == pytest.approx(-12, abs=1.5)
        warped, ir = cv2.imread(str(out), 0).astype(float), cv2.imread(str(files / "ir.png"), 0).astype(float)
        middle = np.s_[20:-20, 20:-20]
        assert np.abs(warped - ir)[middle].mean() < 0.5 * np.abs(shifted(ir, 12, -7) - ir)[middle].mean()
        again = run("align", files / "moved.png", files / "vis.png", "-o", out)
        assert again.exit_code == 1
        assert "exists; pass --overwrite" in again.stderr

    def test_nothing_is_warped_on_a_failure(self, files: Path, tmp_path: Path) -> None:
        run("align", files / "flipped.png", files / "vis.png", "-o", tmp_path / "w.png", "--save", tmp_path / "t.json")
        assert not (tmp_path / "w.png").exists()
        assert json.loads((tmp_path / "t.json").read_text())["status"] == "mirrored"

    def test_folders_give_a_table_and_a_rig_one_file(self, files: Path, tmp_path: Path) -> None:
        for number in (1, 2):
            ir, vis = synthetic_pair(*SIZE, number)
            write(tmp_path / "ir" / f"{number}.png", shifted(ir, 10, 6))
            write(tmp_path / "vis" / f"{number}.png", vis)
        (tmp_path / "ir" / "3.png").write_bytes(b"no picture")
        write(tmp_path / "vis" / "3.png", vis)
        both = run("align", tmp_path / "ir", tmp_path / "vis", "--save", tmp_path / "t", "-o", tmp_path / "w")
        assert both.exit_code == 3
        assert [line.split()[:2] for line in both.stdout.splitlines()[1:]] == [["1", "shifted"], ["2", "shifted"]]
        assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["1.json", "2.json"]
        assert "1 failed" in both.stderr
        run(
            "align",
            tmp_path / "ir",
            tmp_path / "vis",
            "--once",
            "--save",
            tmp_path / "rig.json",
            "--warp",
            "translation",
        )
        matrix = json.loads((tmp_path / "rig.json").read_text())["matrix"]
        assert (matrix[0][2], matrix[1][2]) == (pytest.approx(-10, abs=1.5), pytest.approx(-6, abs=1.5))

    def test_a_rig_without_a_sure_pair_writes_nothing(self, files: Path, tmp_path: Path) -> None:
        result = run("align", files / "flipped.png", files / "vis.png", "--once", "--save", tmp_path / "rig.json")
        assert result.exit_code == 1
        assert "none of 1 pairs" in result.stderr
        assert not (tmp_path / "rig.json").exists()

    def test_wrong_usage(self, files: Path, tmp_path: Path) -> None:
        assert run("align", files / "ir.png", files / "vis.png", "--once").exit_code == 2
        assert run("align", files, files / "vis.png").exit_code == 2
        assert run("align", files / "none.png", files / "vis.png").exit_code == 1

    @pytest.mark.parametrize("place", ["vis.png", "ir.png"])
    @pytest.mark.parametrize("option", ["--save", "-o"])
    def test_no_input_is_written_over(self, files: Path, tmp_path: Path, option: str, place: str) -> None:
        for name in ("ir.png", "vis.png"):
            write(tmp_path / name, cv2.imread(str(files / name)))
        before = (tmp_path / place).read_bytes()
        done = run("align", tmp_path / "ir.png", tmp_path / "vis.png", option, tmp_path / place, "--overwrite")
        assert (done.exit_code, (tmp_path / place).read_bytes()) == (2, before)
        assert "is one of the inputs" in done.output

    @pytest.mark.parametrize("side", ["ir", "vis"])
    def test_no_folder_of_inputs_is_written_over(self, files: Path, tmp_path: Path, side: str) -> None:
        for name in ("ir", "vis"):
            write(tmp_path / name / "a.png", cv2.imread(str(files / f"{name}.png")))
        before = (tmp_path / side / "a.png").read_bytes()
        done = run("align", tmp_path / "ir", tmp_path / "vis", "-o", tmp_path / side / "..", "--overwrite", "-q")
        assert done.exit_code == 0
        done = run("align", tmp_path / "ir", tmp_path / "vis", "-o", tmp_path / side / "." / ".." / side, "--overwrite")
        assert (done.exit_code, (tmp_path / side / "a.png").read_bytes()) == (2, before)

    def test_a_field_is_not_written_over_unasked_nor_left_behind(self, files: Path, tmp_path: Path) -> None:
        place, held = tmp_path / "t.json", tmp_path / "t.field.npy"
        held.write_bytes(b"mine")
        asked = ["align", files / "moved.png", files / "vis.png", "--save", place]
        assert run(*asked, "--warp", "elastic").exit_code == 1
        assert held.read_bytes() == b"mine"
        assert run(*asked, "--warp", "affine", "--overwrite").exit_code == 3
        assert not held.exists(), "an affine transform has none"

    def test_a_field_that_is_missing_is_named(self, files: Path, tmp_path: Path) -> None:
        place = tmp_path / "t.json"
        run("align", files / "moved.png", files / "vis.png", "--save", place)
        place.write_text(place.read_text().replace("{", '{ "field": "t.field.npy",', 1))
        done = run("fuse", files / "moved.png", files / "vis.png", "--transform", place, "-o", tmp_path / "f.png")
        assert done.exit_code == 1
        assert "t.field.npy is not beside it" in done.stderr

    def test_cameras_that_differ_are_no_rig(self, files: Path, tmp_path: Path) -> None:
        for name, picture in (("a", "ir.png"), ("b", "moved.png")):
            write(tmp_path / "ir" / f"{name}.png", cv2.imread(str(files / picture)))
            write(tmp_path / "vis" / f"{name}.png", cv2.imread(str(files / "vis.png")))
        place = tmp_path / "rig.json"
        done = run("align", tmp_path / "ir", tmp_path / "vis", "--once", "--save", place)
        assert "too far for one rig" in done.stdout
        assert json.loads(place.read_text())["status"] == "low_confidence"

    @pytest.mark.parametrize("value", ["nan", "inf"])
    def test_a_tolerance_is_a_number(self, files: Path, value: str) -> None:
        done = run("align", files / "ir.png", files / "vis.png", "--tolerance", value)
        assert (done.exit_code, "give a number of pixels" in done.stderr) == (2, True)

    def test_a_kind_that_does_not_suffice_is_no_other_scene(self, files: Path, tmp_path: Path) -> None:
        turn = cv2.getRotationMatrix2D((128, 96), 8, 1.12)
        ir = cv2.warpAffine(cv2.imread(str(files / "ir.png"), 0), turn, SIZE[::-1], borderMode=cv2.BORDER_REFLECT_101)
        done = run("align", write(tmp_path / "ir.png", ir), files / "vis.png", "--warp", "translation")
        assert done.exit_code == 3
        assert "foreign" not in done.stdout

    def test_tiny_and_blank_pictures_are_a_line(self, files: Path, tmp_path: Path) -> None:
        for shape in ((1, 1), (8, 8), SIZE):
            blank = write(tmp_path / "blank.png", np.zeros(shape, np.uint8))
            result = run("align", blank, files / "vis.png")
            assert (result.exit_code, len(result.stdout.splitlines())) == (3, 1)
            assert "too_little_structure" in result.stdout


class TestFuse:
    def fuse(self, files: Path, name: str, out: Path, *options: object) -> Result:
        return run("fuse", files / name, files / "vis.png", "-o", out, "--model", "max", *options)

    def test_a_pair_that_does_not_match_is_told(self, files: Path, tmp_path: Path) -> None:
        assert "note" not in self.fuse(files, "ir.png", tmp_path / "a.png").stderr
        told = self.fuse(files, "moved.png", tmp_path / "b.png")
        assert told.exit_code == 0
        assert "looks shifted by" in told.stderr
        assert "looks mirrored" in self.fuse(files, "flipped.png", tmp_path / "c.png").stderr
        assert "looks" not in self.fuse(files, "moved.png", tmp_path / "d.png", "--no-check").stderr

    def test_align_brings_it_back(self, files: Path, tmp_path: Path) -> None:
        self.fuse(files, "ir.png", tmp_path / "right.png")
        self.fuse(files, "moved.png", tmp_path / "wrong.png", "--no-check")
        self.fuse(files, "moved.png", tmp_path / "mended.png", "--align")
        right, wrong, mended = (
            cv2.imread(str(tmp_path / f"{name}.png")).astype(float)[24:-24, 24:-24]
            for name in ("right", "wrong", "mended")
        )
        assert np.abs(mended - right).mean() < 0.5 * np.abs(wrong - right).mean()

    def test_align_that_fails_fuses_as_it_is_and_ends_with_3(self, files: Path, tmp_path: Path) -> None:
        self.fuse(files, "flipped.png", tmp_path / "plain.png", "--no-check")
        result = self.fuse(files, "flipped.png", tmp_path / "tried.png", "--align", "similarity")
        assert result.exit_code == 3
        assert "(mirrored); fused as they are" in result.stderr
        tried, plain = (cv2.imread(str(tmp_path / f"{name}.png")) for name in ("tried", "plain"))
        assert np.array_equal(tried, plain)

    def test_by_hand_and_grids(self, files: Path, tmp_path: Path) -> None:
        self.fuse(files, "ir.png", tmp_path / "zoom.png", "--zoom", 0.5)
        fused, vis = (cv2.imread(str(path)) for path in (tmp_path / "zoom.png", files / "vis.png"))
        assert np.array_equal(fused[:40], vis[:40])
        assert not np.array_equal(fused[80:110], vis[80:110])
        self.fuse(files, "ir.png", tmp_path / "part.png", "--shift", "16,8", "--grid", "overlap")
        assert cv2.imread(str(tmp_path / "part.png")).shape == (184, 240, 3)
        assert self.fuse(files, "ir.png", tmp_path / "x.png", "--shift", "16").exit_code == 2
        assert self.fuse(files, "ir.png", tmp_path / "x.png", "--zoom", 0).exit_code == 2

    @pytest.mark.parametrize("grid", ["vis", "ir", "overlap"])
    def test_infrared_moved_out_of_the_picture_is_refused(self, files: Path, tmp_path: Path, grid: str) -> None:
        out = tmp_path / "fused.png"
        asked = ["fuse", files / "ir.png", files / "vis.png", "-o", out, "--model", "mean", "--grid", grid]
        done = run(*asked, "--shift", "5000,0")
        assert (done.exit_code, out.exists()) == (1, False)
        assert "do not overlap" in done.stderr

    def test_a_stored_transform_of_another_aspect_is_refused(self, files: Path, tmp_path: Path) -> None:
        place = tmp_path / "t.json"
        run("align", files / "ir.png", files / "vis.png", "--save", place)
        words = json.loads(place.read_text())
        assert self.fuse(files, "ir.png", tmp_path / "a.png", "--transform", place).exit_code == 0
        place.write_text(json.dumps(words | {"ir_size": [300, 100]}))
        result = self.fuse(files, "ir.png", tmp_path / "b.png", "--transform", place)
        assert result.exit_code == 1
        assert "is for infrared pictures of 300x100" in result.stderr
        assert not (tmp_path / "b.png").exists()

    def test_a_folder_ends_with_one_table(self, files: Path, tmp_path: Path) -> None:
        for name, picture in (("a", "ir.png"), ("b", "moved.png"), ("c", "flipped.png")):
            for side, source in (("ir", picture), ("vis", "vis.png")):
                write(tmp_path / side / f"{name}.png", cv2.imread(str(files / source))[..., ::-1])
        result = run("fuse", tmp_path / "ir", tmp_path / "vis", "-o", tmp_path / "out", "--model", "max", "-q")
        assert result.exit_code == 0
        lines = [line.split() for line in result.stderr.splitlines() if line.startswith("  ")]
        assert [line[:2] for line in lines] == [["b", "shifted"], ["c", "mirrored"]]
        assert "2 of 3 pairs do not seem to match" in result.stderr
