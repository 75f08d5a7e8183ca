"""Which picture belongs to which, by name alone: the files are empty where nothing reads them."""

from __future__ import annotations

import sys
import time
import unicodedata
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from cmmdl.cli import main
from cmmdl.errors import UsageError, UserError
from cmmdl.evaluate.scenes import find_scenes
from cmmdl.files.clocks import pair_by_clock
from cmmdl.files.images import write_image
from cmmdl.files.listing import Found, list_pictures
from cmmdl.files.marks import find_marks
from cmmdl.files.naming import NamePattern, Naming
from cmmdl.files.pairs import Matched, existing, match_folders, pair_folders
from cmmdl.scenes import synthetic_pair


def touch(folder: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


def matched(tmp_path: Path, ir: Iterable[str], vis: Iterable[str], **options: object) -> tuple[Matched, list[str]]:
    notes: list[str] = []
    naming = Naming(**options)  # type: ignore[arg-type]
    return match_folders(touch(tmp_path / "ir", ir), touch(tmp_path / "vis", vis), naming, note=notes.append), notes


def in_one(tmp_path: Path, names: Iterable[str], **options: object) -> tuple[Matched, list[str]]:
    notes: list[str] = []
    folder = touch(tmp_path / "both", names)
    return match_folders(folder, folder, Naming(**options), note=notes.append), notes  # type: ignore[arg-type]


def names_of(result: Matched) -> dict[str, tuple[str, str]]:
    return {key: (one.name, two.name) for key, (one, two) in result.both.items()}


@pytest.mark.parametrize(
    ("ir", "vis", "key"),
    [
        ("IR_0001.jpg", "RGB_0001.jpg", "0001"),
        ("IR0001.jpg", "RGB0001.png", "0001"),
        ("0001_T.JPG", "0001_V.jpg", "0001"),
        ("a_ir.png", "a_vis.tif", "a"),
        ("A-thermal.png", "A-visible.png", "A"),
        ("a.infrared.png", "a.rgb.png", "a"),
        ("flight_ir_0001.png", "flight_vis_0001.png", "flight_0001"),
        ("I00001_lwir.png", "I00001_visible.png", "I00001"),
        ("mri_07.png", "PET_07.png", "07"),
        ("a_ir.png", "a.png", "a"),
        ("a.png", "a_rgb.png", "a"),
    ],
)
def test_usual_marks_are_found_and_said(tmp_path: Path, ir: str, vis: str, key: str) -> None:
    result, notes = matched(tmp_path, [ir], [vis])
    assert names_of(result) == {key: (ir, vis)}
    assert not result.left_out
    assert len(notes) == 1
    assert "--ir-name" in notes[0]
    result, _ = in_one(tmp_path, [ir, vis, "desktop.ini", ".DS_Store", "._IR_0001.jpg", "Thumbs.db"])
    assert names_of(result) == {key: (ir, vis)}


def test_whole_stems_come_first_and_say_nothing(tmp_path: Path) -> None:
    names = ["T_1.png", "x_v.png", "ir_rgb.png", "b_t.png"]
    result, notes = matched(tmp_path, names, names)
    assert sorted(result.both) == sorted(Path(name).stem for name in names)
    assert notes == []


def test_a_visible_camera_is_meant_before_a_zoomed_one(tmp_path: Path) -> None:
    names = [f"DJI_2024010112000{n}_000{n}_{camera}.JPG" for n in (1, 2, 3) for camera in "TVZ"]
    names.remove("DJI_20240101120002_0002_V.JPG")
    result, notes = in_one(tmp_path, names)
    assert names_of(result) == {
        f"DJI_2024010112000{n}_000{n}": (f"DJI_2024010112000{n}_000{n}_T.JPG", f"DJI_2024010112000{n}_000{n}_V.JPG")
        for n in (1, 3)
    }
    assert [alone.path.name for alone in result.alone] == ["DJI_20240101120002_0002_T.JPG"]
    assert "no picture 'DJI_20240101120002_0002_V'" in str(result.alone[0])
    assert any("3 other pictures" in note and "_Z" in note for note in notes)


def test_clocks_a_second_apart(tmp_path: Path) -> None:
    names = ["DJI_20240101115959_0003_T.JPG", "DJI_20240101120000_0003_V.JPG"]
    names += ["DJI_20240101120004_0004_T.JPG", "DJI_20240101120004_0004_V.JPG"]
    names += ["DJI_20240102120000_0003_T.JPG", "DJI_20240102120001_0003_V.JPG"]  # the next flight counts anew
    result, notes = in_one(tmp_path, names)
    assert names_of(result) == {
        "DJI_20240101120000_0003": (names[0], names[1]),
        "DJI_20240101120004_0004": (names[2], names[3]),
        "DJI_20240102120001_0003": (names[4], names[5]),
    }
    assert any("2 paired by running number" in note for note in notes)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (["D_20240101120000_0001"], ["D_20240101120005_0001"], {0: 0}),
        (["D_20240101120000_0001"], ["D_20240101120006_0001"], {}),  # too far apart
        (["D_20240101120000_0001"], ["D_20240101120001_0002"], {}),  # another shot
        (["D_20240101120000_0001"], ["E_20240101120001_0001"], {}),  # another camera
        (["D_20240101120000_0001"], ["D_20240101120001_0001", "D_20240101120002_0001"], {}),  # either
        (["D_20240101120000_0001", "D_20240101120002_0001"], ["D_20240101120001_0001"], {}),  # of either
        (["D_20241301120000_0001"], ["D_20241301120000_0001"], {}),  # no month 13
        (["D_20240101_120000_0001"], ["D_20240101_120001_0001"], {0: 0}),
        (["0001"], ["0001"], {}),
    ],
)
def test_shots_are_paired_only_where_there_is_no_doubt(
    first: list[str], second: list[str], expected: dict[int, int]
) -> None:
    assert pair_by_clock(first, second) == {first[one]: second[two] for one, two in expected.items()}


def test_patterns_tell_one_folder_apart(tmp_path: Path) -> None:
    names = ["a-1x.png", "b-1x.png", "b-2x.png", "cover.png"]
    result, notes = in_one(tmp_path, names, ir_name="a-*", vis_name="b-*")
    assert names_of(result) == {"1x": ("a-1x.png", "b-1x.png")}
    assert [str(alone) for alone in result.alone] == [f"{tmp_path}/both/b-2x.png: no picture 'a-2x' in {tmp_path}/both"]
    assert notes == ["1 other picture, such as cover.png: neither infrared nor visible by name, not counted"]


def test_the_longer_of_two_patterns_counts(tmp_path: Path) -> None:
    result, _ = in_one(tmp_path, ["a.png", "a_ir.png", "b.png", "b_ir.png"], ir_name="*_ir")
    assert names_of(result) == {"a": ("a_ir.png", "a.png"), "b": ("b_ir.png", "b.png")}
    result, _ = in_one(tmp_path, [], ir_name="a*", vis_name="*g")
    assert not result.both


def test_a_file_that_fits_both_patterns_alike_is_left_out(tmp_path: Path) -> None:
    result, _ = in_one(tmp_path, ["IR_1.png", "1_VI.png", "IR_2_VI.png"], ir_name="IR_*", vis_name="*_VI")
    assert names_of(result) == {"1": ("IR_1.png", "1_VI.png")}
    assert ["fits IR_* and *_VI alike" in line for line in result.doubled.values()] == [True]


def test_a_suffix_is_optional_in_a_folder_of_its_own(tmp_path: Path) -> None:
    result, _ = matched(tmp_path, ["a_ir.png", "b.png"], ["a.png", "b.png"], ir_suffix="_ir")
    assert names_of(result) == {"a": ("a_ir.png", "a.png"), "b": ("b.png", "b.png")}


@pytest.mark.parametrize("text", ["IR", "IR_*_*", "**", "", "dir/IR_*", "a\\*"])
def test_patterns_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--ir-name"):
        NamePattern.parse(text, "--ir-name")


def test_pattern_and_suffix_exclude_each_other() -> None:
    with pytest.raises(UsageError, match=r"--vis-name and --vis-suffix exclude each other"):
        Naming(vis_name="*_v", vis_suffix="_v")


@pytest.mark.parametrize(
    ("pattern", "name", "key"),
    [
        ("IR_*", "IR_1.png", "1"),
        ("IR_*", "IR_.png", None),
        ("IR_*", "ir_1.png", None),
        ("IR_*.tif", "IR_1.TIF", "1"),
        ("IR_*.tif", "IR_1.png", None),
        ("IR_*.*", "IR_1.png", "1"),
        ("*", "x.png", "x"),
        ("a*a", "a.png", None),
        ("a*a", "aba.png", "b"),
        ("x[1]_*", "x[1]_2.png", "2"),
    ],
)
def test_what_stands_for_the_star(pattern: str, name: str, key: str | None) -> None:
    path = Path(name)
    assert NamePattern.parse(pattern, "").key(Found("", path.stem, path)) == key


def test_nothing_that_tells_one_folder_apart_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"both folders; tell the pictures apart with --ir-name"):
        in_one(tmp_path, ["a.png", "b.png"])
    with pytest.raises(UsageError, match=r"both sides have the pattern"):
        in_one(tmp_path, [], ir_suffix="_a", vis_suffix="_a")


def test_case_is_not_mended_but_said(tmp_path: Path) -> None:
    result, _ = matched(tmp_path, ["scene_01.png", "b.png"], ["Scene_01.png", "b.png"])
    assert list(result.both) == ["b"]
    assert ["differs in capital letters" in str(alone) for alone in result.alone] == [True, True]


def test_unicode_forms_are_one_name(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Gebäude_ü.png") for form in ("NFC", "NFD"))
    assert composed != apart
    result, _ = matched(tmp_path, [composed], [apart])
    assert list(result.both) == ["Gebäude_ü"]
    result, _ = matched(tmp_path, [apart], [])
    if len(list((tmp_path / "ir").iterdir())) == 2:  # a file system that keeps both
        assert "share the stem 'Gebäude_ü'" in result.doubled["Gebäude_ü"]


def test_two_files_of_a_stem_are_named_and_the_rest_is_paired(tmp_path: Path) -> None:
    result, _ = matched(tmp_path, ["1.jpg", "1.tiff", "2.jpg"], ["1.jpg", "2.jpg"])
    assert list(result.both) == ["2"]
    assert result.left_out == [f"{tmp_path}/ir: 1.jpg and 1.tiff share the stem '1' and are left out; keep one of them"]


def test_folders_below_are_mirrored(tmp_path: Path) -> None:
    names = ["roof A/1.png", "roof A/deep/1.png", "roof B/1.png", "1.png", ".hidden/1.png"]
    ir, vis = touch(tmp_path / "ir", names), touch(tmp_path / "vis", names)
    (vis / "again").symlink_to(vis)  # a circle
    pairs, left_out = pair_folders(ir, vis, tmp_path / "out", Naming(recursive=True))
    assert [str(pair.out.relative_to(tmp_path / "out")) for pair in pairs] == [
        "1.png", "roof A/1.png", "roof A/deep/1.png", "roof B/1.png",
    ]  # fmt: skip
    assert left_out == []
    assert all(pair.ir.relative_to(ir) == pair.vis.relative_to(vis) for pair in pairs)
    assert len(pair_folders(ir, vis, tmp_path / "out")[0]) == 1


def test_results_may_not_become_inputs(tmp_path: Path) -> None:
    ir, vis = touch(tmp_path / "ir", ["1.png"]), touch(tmp_path / "vis", ["1.png"])
    with pytest.raises(UserError, match="a folder of inputs"):
        pair_folders(ir, vis, ir)
    with pytest.raises(UserError, match="lies below a folder of inputs"):
        pair_folders(ir, vis, vis / "out", Naming(recursive=True))
    assert len(pair_folders(ir, vis, vis / "out")[0]) == 1


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text("abTV_1é", min_size=1, max_size=5), unique=True, max_size=8), st.randoms())
def test_every_file_is_paired_once_or_named(tmp_path_factory: pytest.TempPathFactory, stems: list[str], random) -> None:  # type: ignore[no-untyped-def]
    folder = tmp_path_factory.mktemp("names")
    one = touch(folder / "ir", {f"{stem}{random.choice(['', '_t'])}.png" for stem in stems} | {"z.png"})
    two = touch(folder / "vis", {f"{stem}{random.choice(['', '_v'])}.jpg" for stem in stems} | {"z.jpg"})
    notes: list[str] = []
    result = match_folders(one, two, note=notes.append)
    paired = [path for files in result.both.values() for path in files]
    assert len(paired) == len(set(paired))
    everything = {found.path for side in (one, two) for found in list_pictures(side)}
    named = {alone.path for alone in result.alone}
    assert not named & set(paired)
    uncounted = everything - named - set(paired)
    assert not uncounted or any("not counted" in note for note in notes) or result.doubled


def test_fifteen_thousand_pairs_take_less_than_a_second(tmp_path: Path) -> None:
    names = [f"{n:06d}" for n in range(15_000)]
    whole = [Found("", name, Path(f"{name}.jpg")) for name in names]
    marks = [[Found("", mark + name, Path(f"{mark}{name}.jpg")) for name in names] for mark in ("IR_", "RGB_")]
    shots = [f"DJI_2024010112{n // 60 % 60:02d}{n % 60:02d}_{n:05d}" for n in range(15_000)]

    def marked() -> None:
        assert find_marks(whole, whole, one_folder=False) is None
        assert find_marks(*marks, one_folder=False)

    def timed() -> None:
        assert len(pair_by_clock([shot.replace("12", "11", 1) for shot in shots], shots)) <= 15_000

    for work in (marked, timed):
        assert min(seconds_of(work) for _ in range(3)) < 1  # other programs slow one down, hardly all three


def seconds_of(work: Callable[[], None]) -> float:
    """CPU time of some work."""
    start = time.process_time()
    work()
    return time.process_time() - start


def test_skipping_results_is_linear(tmp_path: Path) -> None:
    """With each pair looked up in a list of all, these would take three seconds, and 15,000 eighty."""
    names = [f"{n:06d}.jpg" for n in range(3_000)]
    ir, vis = touch(tmp_path / "ir", names), touch(tmp_path / "vis", names)
    touch(tmp_path / "out", [name.replace("jpg", "png") for name in names[:2_999]])
    start = time.process_time()
    pairs, _ = pair_folders(ir, vis, tmp_path / "out")
    there = existing(pairs)
    assert time.process_time() - start < 1
    assert (len(pairs), len(there)) == (3_000, 2_999)


def test_existing_results_where_the_file_system_ignores_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ir, vis = touch(tmp_path / "ir", ["a.png"]), touch(tmp_path / "vis", ["a.png"])
    touch(tmp_path / "out", ["A.png"])
    pairs, _ = pair_folders(ir, vis, tmp_path / "out")
    monkeypatch.setattr(sys, "platform", "linux")
    assert existing(pairs) == []
    monkeypatch.setattr(sys, "platform", "win32")
    assert existing(pairs) == pairs


def test_fused_pictures_go_by_what_their_sources_share(tmp_path: Path) -> None:
    ir, vis = touch(tmp_path / "ir", ["IR_1.png", "IR_2.png"]), touch(tmp_path / "vis", ["RGB_1.png", "RGB_2.png"])
    ours = touch(tmp_path / "ours", ["1.png", "2.png", "2.jpg"])
    scenes, excluded = find_scenes({"ours": ours}, ir, vis)
    assert [scene.name for scene in scenes] == ["1"]
    assert [str(one) for one in excluded] == ["2 (ours): 2.jpg and 2.png share this stem"]


# The commands


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two pairs in folders below, named by marks, with a stray picture and a doubled stem."""
    for number, place in enumerate(("roof A", "roof B")):
        ir, vis = synthetic_pair(48, 64, seed=number)
        for side, mark, picture in (("ir", "IR_", ir), ("vis", "RGB_", vis)):
            (tmp_path / side / place).mkdir(parents=True)
            write_image(tmp_path / side / place / f"{mark}1.png", picture)
    return tmp_path


def test_fuse_evaluate_sheet_and_check_read_a_tree(tree: Path) -> None:
    ir, vis, out = tree / "ir", tree / "vis", tree / "out"
    result = run("fuse", ir, vis, "-o", out, "--model", "max", "--recursive")
    assert result.exit_code == 0, result.stderr
    assert sorted(str(path.relative_to(out)) for path in out.rglob("*.png")) == ["roof A/1.png", "roof B/1.png"]
    assert "IR_* for infrared and RGB_* for visible" in result.stderr
    again = run("fuse", ir, vis, "-o", out, "--model", "max", "--recursive", "--skip-existing")
    assert "2 existing skipped" in again.stdout
    assert run("fuse", ir, vis, "-o", out, "--model", "max", "--recursive").exit_code == 1
    scored = run(
        "evaluate",
        out,
        ir,
        vis,
        "--metrics",
        "EN",
        "--recursive",
        "--workers",
        1,
        "--ir-name",
        "IR_*",
        "--vis-name",
        "RGB_*",
    )
    assert scored.exit_code == 0, scored.stderr
    shown = run("sheet", ir, vis, "-o", tree / "s.png", "--fused", f"m={out}", "--recursive", "--stems", "roof A/1")
    assert shown.exit_code == 0, shown.stderr
    checked = run("data", "check", tree, "--recursive")
    assert checked.exit_code == 0, checked.stdout
    assert "2  " in checked.stdout
    assert run("data", "check", tree).exit_code == 3


def test_an_unquoted_pattern_is_explained(tree: Path) -> None:
    result = run("fuse", tree / "ir", tree / "vis", "-o", tree / "o", "--ir-name", "IR_1.png")
    assert result.exit_code == 2
    assert "needs exactly one star" in result.stderr
    assert "quote it" in result.stderr


# The cases of ../shared


@pytest.fixture
def cases() -> Path:
    folder = Path(__file__).parents[2] / "shared/cases/names"
    if not folder.is_dir():
        pytest.skip("needs ../shared/cases/names")
    return folder


@pytest.mark.parametrize(
    ("ir", "vis", "pairs", "code", "said"),
    [
        ("onefolder", "onefolder", 5, 0, "*_IR for infrared and *_RGB for visible"),
        ("prefix/thermal", "prefix/rgb", 5, 0, "IR_* for infrared and RGB_* for visible"),
        ("nested/ir", "nested/vis", 4, 0, ""),
        ("unicode/ir", "unicode/vis", 3, 3, "differs in capital letters"),
        ("twoext/ir", "twoext/vis", 1, 3, "1.jpg and 1.tiff share the stem '1'"),
        ("dji", "dji", 5, 0, "*_T for infrared and *_V for visible"),
    ],
)
def test_cases(cases: Path, tmp_path: Path, ir: str, vis: str, pairs: int, code: int, said: str) -> None:
    result = run("fuse", cases / ir, cases / vis, "-o", tmp_path, "--model", "max", "--recursive")
    assert result.exit_code == code
    assert said in result.stderr
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == pairs
