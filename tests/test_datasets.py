"""Data sets: their catalogue, archives that are not to be trusted, folders that are whole, and what checks find."""

from __future__ import annotations

import io
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cmmdl.datasets import CATALOGUE, archive, check_sets, find_data_set, find_sets, plan, prepare
from cmmdl.datasets.catalogue import DataSet
from cmmdl.datasets.check import nearest, read_sets
from cmmdl.datasets.fingerprint import BITS, difference_signs, distances, fingerprint
from cmmdl.datasets.layout import find_splits
from cmmdl.datasets.preparation import leftovers
from cmmdl.datasets.report import Report
from cmmdl.errors import UserError
from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair

PUBLISHED = {
    "msrs": ["train/ir", "train/vi", "test/ir", "test/vi"],
    "roadscene": ["cropinfrared", "crop_LR_visible"],
    "tno": ["ir", "vis"],
    "m3fd": ["Ir", "Vis"],
    "m3fd-detection": ["Ir", "Vis"],
    "llvip": ["infrared/train", "visible/train", "infrared/test", "visible/test"],
    "fmb": ["train/Infrared", "train/Visible", "test/Infrared", "test/Visible"],
    "harvard-ct": ["CT-MRI/MRI", "CT-MRI/CT"],
    "harvard-pet": ["PET-MRI/MRI", "PET-MRI/PET"],
    "harvard-spect": ["SPECT-MRI/MRI", "SPECT-MRI/SPECT"],
}
"""Folders of each set as its authors (or, of the atlas, those who collect it) lay them out."""


def pair(folder: Path, stem: str, seed: int, sides: tuple[str, str] = ("ir", "vis")) -> None:
    """Writes one synthetic pair into two folders below ``folder``."""
    for side, picture in zip(sides, synthetic_pair(30, 40, seed=seed), strict=True):
        (folder / side).mkdir(parents=True, exist_ok=True)
        write_image(folder / side / f"{stem}.png", picture)


def small(data: str, **counts: int) -> DataSet:
    """A data set that publishes fewer and smaller pictures."""
    return replace(find_data_set(data), counts=counts, size=(40, 30))


@pytest.fixture
def msrs(tmp_path: Path) -> Path:
    """Three pairs for training and two for testing, as the authors' archive holds them, unpacked."""
    root = tmp_path / "downloads" / "MSRS-main"
    for split, seeds in (("train", (1, 2, 3)), ("test", (4, 5))):
        for seed in seeds:
            pair(root / split, f"0000{seed}D", seed, ("ir", "vi"))
    (root / "README.md").write_text("MSRS")
    return root


MSRS = small("msrs", train=3, test=2)


def zipped(folder: Path) -> Path:
    return Path(shutil.make_archive(str(folder), "zip", folder.parent, folder.name))


def kinds(report: Report) -> list[tuple[str, str]]:
    return [(one.kind, one.where) for one in report.problems]


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


class TestCatalogue:
    def test_every_set_is_complete(self) -> None:
        assert {data.name for data in CATALOGUE} == set(PUBLISHED)
        for data in CATALOGUE:
            assert data.source.startswith("https://")
            assert all((data.title, data.terms, data.paper, data.split))
            assert data.counts.keys() <= {split for layout in data.layouts for split in layout}
            assert all(str(count) in data.split for count in data.counts.values())

    def test_published_numbers(self) -> None:
        totals = {data.name: sum(data.counts.values()) for data in CATALOGUE if data.counts}
        assert totals == {
            "msrs": 1444,
            "roadscene": 221,
            "m3fd": 300,
            "m3fd-detection": 4200,
            "llvip": 15488,
            "fmb": 1500,
        }

    @pytest.mark.parametrize("name", PUBLISHED)
    @pytest.mark.parametrize("prefix", ["", "Some-main/deep/"])
    def test_published_folders_are_found(self, name: str, prefix: str) -> None:
        paths = [f"{prefix}{folder}/{stem}.png" for folder in PUBLISHED[name] for stem in ("a", "b")]
        splits = find_splits([*paths, f"{prefix}README.md", f"{prefix}label/a.png"], find_data_set(name), "x.zip")
        assert sum(len(split.pairs) for split in splits) == len(paths) // 2

    def test_the_atlas_keeps_its_pairings_apart(self) -> None:
        paths = [f"all/{folder}/{stem}.png" for name in PUBLISHED for folder in PUBLISHED[name] for stem in "ab"]
        atlas = [path for path in paths if "-MRI" in path]
        (split,) = find_splits(atlas, find_data_set("harvard-pet"), "x.zip")
        assert set(split.first.values()) == {"all/PET-MRI/MRI/a.png", "all/PET-MRI/MRI/b.png"}

    def test_wrong_names_and_folders_are_told(self) -> None:
        with pytest.raises(UserError, match="did you mean 'llvip'"):
            find_data_set("llvp")
        with pytest.raises(
            UserError, match=r"train/ir with train/vi.*pictures are in photos; see `cmmdl data list msrs`"
        ):
            find_splits(["photos/a.png"], find_data_set("msrs"), "x.zip")
        both = [f"{top}/{side}/a.png" for top in ("one", "two") for side in ("ir", "vis")]
        with pytest.raises(UserError, match=r"lie in one and two"):
            find_splits(both, find_data_set("tno"), "x.zip")
        with pytest.raises(UserError, match="share a stem"):
            find_splits(["ir/a.png", "ir/a.jpg", "vis/a.png"], find_data_set("tno"), "x.zip")


class TestArchives:
    def test_folder_zip_and_tar_hold_the_same(self, msrs: Path, tmp_path: Path) -> None:
        packed = zipped(msrs)
        with tarfile.open(tmp_path / "msrs.tar.gz", "w:gz") as tar:
            tar.add(msrs, "MSRS-main")
        files = archive.list_files(packed)
        assert files["MSRS-main/train/ir/00001D.png"] == (msrs / "train/ir/00001D.png").stat().st_size
        assert archive.list_files(tmp_path / "msrs.tar.gz") == files
        assert archive.list_files(msrs.parent) == {**files, "MSRS-main.zip": packed.stat().st_size}

    @pytest.mark.parametrize(
        "name", ["../evil.png", "/etc/evil.png", "a/../../evil.png", "..\\evil.png", "C:/evil.png"]
    )
    @pytest.mark.parametrize("kind", ["zip", "tar"])
    def test_paths_that_lead_out_are_refused(self, tmp_path: Path, name: str, kind: str) -> None:
        path = tmp_path / f"evil.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w") as packed:
                packed.writestr(name, b"x")
        else:
            with tarfile.open(path, "w") as tar:
                tar.addfile(tarfile.TarInfo(name), io.BytesIO())
        with pytest.raises(UserError, match=r"not to be trusted: it holds the path"):
            archive.list_files(path)

    @pytest.mark.parametrize("kind", ["zip", "tar.gz"])
    def test_bombs_are_refused(self, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archive, "FREE_OF_RATIO", 2**20)
        (tmp_path / "zeros.png").write_bytes(bytes(2**22))
        path = tmp_path / f"bomb.{kind}"
        if kind == "zip":
            with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
                packed.write(tmp_path / "zeros.png", "zeros.png")
        else:
            with tarfile.open(path, "w:gz") as tar:
                tar.add(tmp_path / "zeros.png", "zeros.png")
        with pytest.raises(UserError, match=r"unpacks to 0\.0 GiB or more, as no archive of pictures does"):
            archive.list_files(path)

    def test_links_are_left_out(self, tmp_path: Path) -> None:
        link = tarfile.TarInfo("ir/a.png")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        with tarfile.open(tmp_path / "a.tar", "w") as tar:
            tar.addfile(link)
        info = zipfile.ZipInfo("ir/a.png")
        info.external_attr = 0o120777 << 16
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as packed:
            packed.writestr(info, "/etc/passwd")
        assert archive.list_files(tmp_path / "a.tar") == archive.list_files(tmp_path / "a.zip") == {}

    def test_damaged_and_strange_files_are_told(self, msrs: Path, tmp_path: Path) -> None:
        packed = zipped(msrs)
        data = bytearray(packed.read_bytes())
        place = data.find(b"IDAT", data.find(b"train/ir/00001D.png"))
        data[place + 20 : place + 60] = bytes(40)
        packed.write_bytes(data)
        with pytest.raises(UserError, match=r"MSRS-main.zip is damaged or cannot be unpacked.*download it again"):
            prepare(plan(MSRS, packed), tmp_path / "out")
        assert not (tmp_path / "out").exists()
        (tmp_path / "a.rar").write_bytes(b"Rar!\x1a\x07")
        with pytest.raises(UserError, match="not a ZIP or TAR archive; unpack it by hand"):
            archive.list_files(tmp_path / "a.rar")
        with pytest.raises(UserError, match="no such file or folder"):
            archive.list_files(tmp_path / "none.zip")


class TestPrepare:
    def test_files_arrive_as_they_were(self, msrs: Path, tmp_path: Path) -> None:
        packed = zipped(msrs)
        report = prepare(plan(MSRS, packed, sha256=archive.sha256_of(packed).upper()), tmp_path / "new" / "out")
        assert (report.problems, report.notes) == ([], [])
        assert [(one.name, one.pairs, one.sizes) for one in report.sets] == [
            ("train", 3, {"40x30": 3}),
            ("test", 2, {"40x30": 2}),
        ]
        files = tree(tmp_path / "new" / "out")
        card = json.loads(files.pop("data.json"))
        assert card["pairs"] == {"train": 3, "test": 2}
        assert card["sha256"] == archive.sha256_of(packed)
        before = {name.replace("/vi/", "/vis/"): data for name, data in tree(msrs).items() if name != "README.md"}
        assert files == before
        assert check_sets(find_sets(tmp_path / "new" / "out"), data=MSRS).problems == []

    def test_links_share_the_file_and_bad_ones_leave_the_source_alone(self, msrs: Path, tmp_path: Path) -> None:
        (msrs / "test/vi/00005D.png").write_bytes(b"\x89PNG nonsense")
        report = prepare(plan(MSRS, msrs), tmp_path / "out", link=True)
        assert kinds(report) == [("damaged", "test"), ("count", "test")]
        assert report.problems[0].items[0].startswith("test/vis/00005D.png is truncated or damaged")
        assert (tmp_path / "out/train/ir/00001D.png").samefile(msrs / "train/ir/00001D.png")
        assert not (tmp_path / "out/test/ir/00005D.png").exists()
        assert (msrs / "test/ir/00005D.png").exists()
        with pytest.raises(UserError, match="--link needs a folder"):
            prepare(plan(MSRS, zipped(msrs)), tmp_path / "two", link=True)

    def test_unpaired_and_unequal_pictures_are_named_and_left_out(self, msrs: Path, tmp_path: Path) -> None:
        (msrs / "train/vi/00001D.png").unlink()
        write_image(msrs / "train/ir/00002D.png", synthetic_pair(30, 41)[0])
        report = prepare(plan(MSRS, msrs), tmp_path / "out")
        found = {one.kind: one.items for one in report.problems}
        assert found["sizes"] == ("00002D: ir 41x30, vis 40x30",)
        assert found["unpaired"] == ("train/ir/00001D.png",)
        assert found.keys() == {"sizes", "unpaired", "count"}
        assert [path.name for path in (tmp_path / "out/train/ir").iterdir()] == ["00003D.png"]

    def test_nothing_is_left_of_a_failure(self, msrs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("shutil.copyfile", full)
        with pytest.raises(UserError, match="No space left on device"):
            prepare(plan(MSRS, msrs), tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["downloads"]

    def test_an_interruption_leaves_nothing(self, msrs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def interrupted(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("cmmdl.datasets.preparation.read_sets", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(plan(MSRS, msrs), tmp_path / "out")
        assert [path.name for path in tmp_path.iterdir()] == ["downloads"]

    def test_what_stands_in_the_way_is_told_first(self, msrs: Path, tmp_path: Path) -> None:
        planned = plan(MSRS, msrs)
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("keep")
        with pytest.raises(UserError, match="exists and is not an empty folder"):
            prepare(planned, tmp_path / "out")
        with pytest.raises(UserError, match="give a folder outside it"):
            prepare(planned, msrs / "out")
        with pytest.raises(UserError, match=r"GiB are needed .* free some space"):
            prepare(replace(planned, bytes=2**60), tmp_path / "new")
        with pytest.raises(UserError, match=r"its SHA-256 is [0-9a-f]{64}, not 00; download it again"):
            plan(MSRS, zipped(msrs), sha256="00")
        with pytest.raises(UserError, match="has no hash"):
            plan(MSRS, msrs, sha256="00")
        assert tree(tmp_path / "out") == {"mine.txt": b"keep"}

    def test_the_working_folder_is_not_replaced(
        self, msrs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "here").mkdir()
        monkeypatch.chdir(tmp_path / "here")
        with pytest.raises(UserError, match=r"\. is the current folder; give a new one inside"):
            prepare(plan(MSRS, msrs), Path())
        assert not list((tmp_path / "here").iterdir())

    def test_a_folder_that_cannot_be_seen_is_told(
        self, msrs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def denied(_: Path) -> None:
            raise PermissionError(13, "Permission denied")

        (tmp_path / "out").mkdir()
        planned = plan(MSRS, msrs)
        monkeypatch.setattr(Path, "iterdir", denied)
        with pytest.raises(UserError, match=r"out: cannot be opened \(Permission denied\)"):
            prepare(planned, tmp_path / "out")
        with pytest.raises(UserError, match=r"out: cannot be listed \(Permission denied\)"):
            find_sets(tmp_path / "out")

    def test_stems_matter_in_the_folders_of_pairs_alone(self, msrs: Path, tmp_path: Path) -> None:
        (msrs / "docs").mkdir()
        for suffix in ("png", "jpg"):
            shutil.copy(msrs / "train/ir/00001D.png", msrs / "docs" / f"figure.{suffix}")
        assert len(plan(MSRS, msrs).splits[0].pairs) == 3
        shutil.copy(msrs / "train/ir/00001D.png", msrs / "train/ir/00001D.jpg")
        with pytest.raises(UserError, match=r"00001D\.jpg and train/ir/00001D\.png share a stem"):
            plan(MSRS, msrs)

    def test_the_later_one_of_a_repeated_tar_member_counts(self, msrs: Path, tmp_path: Path) -> None:
        first, later = (msrs / "train/ir" / f"0000{number}D.png" for number in (1, 2))
        with tarfile.open(tmp_path / "msrs.tar", "w") as tar:
            tar.add(msrs, "MSRS-main")
            tar.add(later, "MSRS-main/train/ir/00001D.png")
        prepare(plan(MSRS, tmp_path / "msrs.tar"), tmp_path / "out")
        assert (tmp_path / "out/train/ir/00001D.png").read_bytes() == later.read_bytes() != first.read_bytes()

    def test_an_empty_folder_may_be_filled_and_leftovers_are_seen(self, msrs: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / ".out.abc.cmmdl-part").mkdir()
        assert leftovers(tmp_path / "out") == [tmp_path / ".out.abc.cmmdl-part"]
        assert not prepare(plan(MSRS, msrs), tmp_path / "out").problems

    def test_a_split_of_ones_own(self, tmp_path: Path) -> None:
        for seed in range(4):
            pair(tmp_path / "RoadScene", f"FLIR_{seed}", seed, ("cropinfrared", "crop_LR_visible"))
        data = small("roadscene", all=4)
        stems = tmp_path / "test.txt"
        stems.write_text("FLIR_1\n\nFLIR_3\n")
        assert not prepare(plan(data, tmp_path / "RoadScene", test_stems=stems), tmp_path / "out").problems
        assert sorted(path.stem for path in (tmp_path / "out/test/vis").iterdir()) == ["FLIR_1", "FLIR_3"]
        assert sorted(path.stem for path in (tmp_path / "out/train/ir").iterdir()) == ["FLIR_0", "FLIR_2"]
        stems.write_text("FLIR_1.png\n")
        with pytest.raises(UserError, match=r"no pair 'FLIR_1.png'.*nearest is 'FLIR_1'"):
            plan(data, tmp_path / "RoadScene", test_stems=stems)

    def test_an_official_split_stays(self, msrs: Path, tmp_path: Path) -> None:
        (tmp_path / "test.txt").write_text("00001D\n")
        with pytest.raises(UserError, match="is already split into train and test"):
            plan(MSRS, msrs, test_stems=tmp_path / "test.txt")

    def test_medical_sides_keep_their_names(self, tmp_path: Path) -> None:
        pair(tmp_path / "atlas" / "CT-MRI", "20005", 1, ("MRI", "CT"))
        report = prepare(plan(small("harvard-ct"), tmp_path / "atlas"), tmp_path / "out")
        assert report.sets[0].sides == ("mri", "ct")
        assert (tmp_path / "out/all/mri/20005.png").is_file()
        assert not check_sets(find_sets(tmp_path / "out")).problems


class TestCheck:
    def test_a_picture_in_train_and_test_is_a_problem(self, tmp_path: Path) -> None:
        for split, stem, seed in (("train", "a", 1), ("train", "b", 2), ("test", "c", 3), ("test", "d", 2)):
            pair(tmp_path / split, stem, seed)
        (finding,) = check_sets(find_sets(tmp_path)).problems
        assert (finding.kind, finding.where, finding.items) == (
            "duplicate",
            "test and train",
            ("test/ir/d = train/ir/b", "test/vis/d = train/vis/b"),
        )

    def test_two_pairings_of_one_split_may_share(self, tmp_path: Path) -> None:
        for second in ("ct", "pet"):
            pair(tmp_path / "train", "20005", 1, ("mri", second))
        report = check_sets(find_sets(tmp_path))
        assert [one.sides for one in report.sets] == [("mri", "ct"), ("mri", "pet")]
        assert not report.problems

    def test_names_of_folders_in_any_case(self, tmp_path: Path) -> None:
        pair(tmp_path, "00001", 1, ("Ir", "Vis"))
        report = check_sets(find_sets(tmp_path))
        assert report.sets[0].pairs == 1
        assert not report.problems

    def test_sets_of_other_names_may_share_unless_they_are_set_against(self, tmp_path: Path) -> None:
        for folder in ("one/a", "one/b", "two/c"):
            pair(tmp_path / folder, "x", 1)
        assert [note.kind for note in check_sets(find_sets(tmp_path / "one")).notes] == ["duplicate"]
        report = check_sets(find_sets(tmp_path / "one"), against=find_sets(tmp_path / "two"))
        assert kinds(report) == [("duplicate", "a and c"), ("duplicate", "b and c")]

    def test_versions_of_a_picture_are_near_duplicates_and_others_are_not(self, tmp_path: Path) -> None:
        for seed in range(6):
            pair(tmp_path / "train", str(seed), seed)
        (tmp_path / "test/ir").mkdir(parents=True)
        (tmp_path / "test/vis").mkdir()
        ir, vis = synthetic_pair(30, 40, seed=3)
        write_image(tmp_path / "test/ir/x.jpg", ir)
        write_image(tmp_path / "test/vis/x.jpg", np.clip(vis.astype(int) + 9, 0, 255).astype(np.uint8))
        pair(tmp_path / "test", "y", 77)
        report = check_sets(find_sets(tmp_path))
        assert not report.problems
        (note,) = report.notes
        assert note.kind == "near duplicate"
        assert [item.partition(" (")[0] for item in note.items] == ["test/x ~ train/3"]

    def test_the_nearest_pair_of_many(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("cmmdl.datasets.check._ROWS", 2)
        for seed in range(5):
            pair(tmp_path / "one", f"a{seed}", seed)
            pair(tmp_path / "two", f"b{4 - seed}", seed)
        one, two = read_sets(find_sets(tmp_path), workers=1, progress=False)
        assert list(nearest(one, two)) == [(4, 0), (3, 0), (2, 0), (1, 0), (0, 0)]

    def test_everything_else_that_can_be_wrong(self, tmp_path: Path) -> None:
        pair(tmp_path, "good", 1)
        pair(tmp_path, "again", 1)
        pair(tmp_path, "cut", 2)
        (tmp_path / "ir/cut.png").write_bytes((tmp_path / "ir/cut.png").read_bytes()[:80])
        pair(tmp_path, "alone", 3)
        (tmp_path / "vis/alone.png").unlink()
        for stem in ("black", "night"):
            pair(tmp_path, stem, ord(stem[0]))
            write_image(tmp_path / f"ir/{stem}.png", np.zeros((30, 40), np.uint8))
        report = check_sets(find_sets(tmp_path), data=find_data_set("msrs"))
        assert [one.name for one in report.sets] == [tmp_path.name]
        assert [one.kind for one in report.problems] == ["damaged", "unpaired", "count", "count"]
        assert report.problems[1].items == ("ir/alone.png",)
        assert {note.kind: note.items for note in report.notes} == {
            "blank": ("black", "night"),
            "duplicate": ("ir/again = ir/good", "vis/again = vis/good"),
            "published size": ("again", "black", "good", "night"),
        }
        assert json.loads(json.dumps(report.to_dict()))["sets"][0]["pairs"] == 4

    def test_a_folder_without_pairs(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="contains no pairs"):
            find_sets(tmp_path)
        with pytest.raises(UserError, match="is not a folder"):
            find_sets(tmp_path / "none")

    def test_real_pictures(self, shared: Path) -> None:
        test = [one for one in find_sets(shared / "data/test") if one.name == "tno"]
        train = [one for one in find_sets(shared / "data/train") if one.name == "tno"]
        report = check_sets(test, against=train)
        assert (report.sets[0].pairs, report.problems, report.notes) == (25, [], [])
        (note,) = check_sets(train).notes
        assert note.items == ("ir/metricslab124_113 = ir/metricslab124_119",)


class TestFingerprints:
    def test_grey_in_one_channel_or_three_is_one_picture(self, tmp_path: Path) -> None:
        grey = synthetic_pair(9, 13)[0]
        write_image(tmp_path / "one.png", grey)
        write_image(tmp_path / "three.bmp", np.repeat(grey[..., None], 3, axis=2))
        write_image(tmp_path / "deep.png", grey.astype(np.uint16))
        one, three, deep = (fingerprint(tmp_path / name) for name in ("one.png", "three.bmp", "deep.png"))
        assert one.pixels == three.pixels != deep.pixels
        assert one.size == (13, 9)

    def test_signs_are_those_of_the_gradient(self) -> None:
        ramp = np.tile(np.arange(170, dtype=np.uint8), (160, 1))
        assert (difference_signs(ramp) == 1).all()
        assert (difference_signs(ramp[:, ::-1]) == -1).all()
        half = np.where(np.arange(160)[:, None] < 80, ramp, ramp[:, ::-1])
        assert difference_signs(half).reshape(16, 16).sum(axis=1).tolist() == [16] * 8 + [-16] * 8

    def test_distances_count_bits(self) -> None:
        signs = np.where(np.random.default_rng(0).random((5, BITS)) < 0.5, -1, 1).astype(np.int8)
        expected = [[sum(a != b for a, b in zip(x, y, strict=True)) for y in signs[2:]] for x in signs]
        np.testing.assert_array_equal(distances(signs, signs[2:]), expected)

    @pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (16, 17)])
    def test_small_pictures_have_signs_too(self, shape: tuple[int, int]) -> None:
        assert difference_signs(np.ones(shape, np.uint16)).shape == (BITS,)
