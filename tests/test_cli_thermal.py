"""``cmmdl fuse`` from one camera file to a fused picture with its temperatures."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image

from cmmdl import Fuser, read_thermal
from cmmdl.align import Alignment, register
from cmmdl.align.transform import save
from cmmdl.cli import main
from cmmdl.files.images import read_image, write_image
from cmmdl.files.metadata import history_of
from cmmdl.files.palettes import known_palettes
from cmmdl.fusion.options import FuseOptions
from cmmdl.scenes import counts_of, radiometric_scene, synthetic_pair
from radiometric import PARAMETERS, flir_jpeg

flyr = pytest.importorskip("flyr")

LEFT, TOP, WIDTH, HEIGHT = 50, 30, 200, 150
"""The thermal field of view within the photo of 320x240."""


def raw_of(celsius: NDArray[np.float32]) -> NDArray[np.uint16]:
    """What the sensor counts of a black body close by."""
    kelvin = celsius.astype(np.float64) + 273.15
    radiance = PARAMETERS["r1"] / (np.exp(PARAMETERS["b"] / kelvin) - PARAMETERS["f"])
    return np.rint(radiance / PARAMETERS["r2"] - PARAMETERS["o"]).astype(np.uint16)


def camera_file(seed: int = 0, *, with_photo: bool = True) -> tuple[bytes, NDArray[np.float32]]:
    """A radiometric JPEG of a drawn scene, and the temperatures behind its photo."""
    celsius, photo = radiometric_scene(240, 320, seed)
    seen = cv2.resize(celsius[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH], (160, 120), interpolation=cv2.INTER_AREA)
    exif = Image.Exif()
    exif[271], exif[0x8825] = "DrawnCam", {1: "N", 2: (10.0, 20.0, 30.0)}
    data = flir_jpeg(raw_of(seen), photo if with_photo else None, emissivity=1.0, distance=0.0, exif=exif.tobytes())
    return data, celsius


FOUND: dict[int, Alignment] = {}


@pytest.fixture(autouse=True)
def look_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks only once how each pair lies: the same few are fused in many ways."""

    def registered(celsius: NDArray[np.float32], photo: NDArray[np.uint8], warp: str | None = None) -> Alignment:
        key = hash((celsius.tobytes(), photo.tobytes()))
        if key not in FOUND:
            FOUND[key] = register(celsius, photo, warp)
        return FOUND[key]

    monkeypatch.setattr("cmmdl.fusion.lay_thermal.register", registered)


@pytest.fixture(scope="module")
def camera(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one radiometric JPEG, ``FLIR.jpg``, and one without a photo, ``bare.jpg``."""
    folder = tmp_path_factory.mktemp("camera")
    (folder / "FLIR.jpg").write_bytes(camera_file()[0])
    (folder / "bare.jpg").write_bytes(camera_file(with_photo=False)[0])
    write_image(folder / "photo.png", radiometric_scene(240, 320, 0)[1])
    return folder


def fuse(*arguments: object, model: str = "mean") -> Result:
    return CliRunner().invoke(main, ["fuse", *map(str, arguments), "--model", model], catch_exceptions=False)


def test_one_file_in_a_picture_and_temperatures_out(camera: Path, tmp_path: Path) -> None:
    out, celsius, said = tmp_path / "new/fused.png", tmp_path / "new/c.tif", tmp_path / "r/report.json"
    done = fuse(camera / "FLIR.jpg", "-o", out, "--temperature", celsius, "--report", said, "--spot", "5,6")
    assert done.exit_code == 0, done.output
    assert "laid on the photo by its edges" in done.stderr
    assert "residual" in done.stderr
    found, history = tifffile.imread(celsius), history_of(out)
    assert read_image(out).shape[:2] == found.shape  # the photo's pixels inside the thermal field of view
    np.testing.assert_allclose(found.shape, (HEIGHT, WIDTH), atol=3)
    left, top = (round(v) for v in np.array(history["alignment"]["matrix"])[:2, 2])
    truth = cv2.GaussianBlur(camera_file()[1], (0, 0), 0.6)[top : top + found.shape[0], left : left + found.shape[1]]
    assert np.nanmean(np.abs(found - truth)) < 0.6
    report = json.loads(said.read_text())
    assert report["max"] == pytest.approx(np.nanmax(found), abs=0.001)
    assert report["spots"][0]["temperature"] == pytest.approx(found[6, 5], abs=0.001)
    assert (report["camera"]["make"], report["parameters"]["emissivity"]) == ("DrawnCam", 1)
    with Image.open(out) as image:
        assert image.getexif()[271] == "DrawnCam"
        assert image.getexif().get_ifd(0x8825)[1] == "N"
    with Image.open(celsius) as image:
        assert image.getexif().get_ifd(0x8825)[1] == "N"


def test_temperatures_of_the_thermal_grid_are_those_of_the_library(camera: Path, tmp_path: Path) -> None:
    path = camera / "FLIR.jpg"
    done = fuse(path, "-o", tmp_path / "f.png", "--temperature", tmp_path / "c.tif", "--grid", "ir")
    assert done.exit_code == 0, done.output
    np.testing.assert_allclose(tifffile.imread(tmp_path / "c.tif"), flyr.unpack(str(path)).celsius, atol=0.01)
    assert read_image(tmp_path / "f.png").shape == (120, 160, 3)


def test_the_whole_photo(camera: Path, tmp_path: Path) -> None:
    """Where no thermal is, the photo stays as it is; temperatures there are NaN; between lies a soft border."""
    path = camera / "FLIR.jpg"
    out, measured = tmp_path / "f.png", tmp_path / "c.tif"
    done = fuse(path, "-o", out, "--temperature", measured, "--grid", "vis", "--palette", "iron", "--no-legend")
    assert done.exit_code == 0, done.output
    fused, photo, celsius = (
        read_image(tmp_path / "f.png"),
        read_thermal(path).photo,
        tifffile.imread(tmp_path / "c.tif"),
    )
    assert photo is not None
    outside = np.isnan(celsius)
    assert 0.4 < outside.mean() < 0.75
    assert np.abs(fused[outside].astype(int) - photo[outside]).max() <= 1
    step = np.abs(fused.astype(int) - photo).max(2)
    edge = cv2.dilate(outside.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool) & ~outside
    assert np.median(step[edge]) < 0.35 * np.median(step[90:120, 120:180])
    raw = read_thermal(path).celsius
    assert np.nanmin(celsius) >= raw.min()
    assert np.nanmax(celsius) <= raw.max()


@pytest.mark.parametrize("grid", ["vis", "ir", "overlap"])
def test_temperatures_moved_out_of_the_photo_are_refused(camera: Path, tmp_path: Path, grid: str) -> None:
    out = tmp_path / "f.png"
    done = fuse(camera / "FLIR.jpg", "-o", out, "--grid", grid, "--shift", "5000,0")
    assert (done.exit_code, out.exists()) == (1, False)
    assert "do not overlap" in done.stderr


def test_a_photo_of_its_own(camera: Path, tmp_path: Path) -> None:
    done = fuse(camera / "bare.jpg", "-o", tmp_path / "f.png")
    assert done.exit_code == 1
    assert "bare.jpg contains no photo; give the visible picture as the second file" in done.stderr
    done = fuse(camera / "bare.jpg", camera / "photo.png", "-o", tmp_path / "f.png")
    assert done.exit_code == 0, done.output
    assert read_image(tmp_path / "f.png").shape == (240, 320, 3)  # the whole photo
    done = fuse(camera / "photo.png", camera / "FLIR.jpg", "-o", tmp_path / "g.png")
    assert done.exit_code == 1
    assert "FLIR.jpg is a radiometric JPEG, given as the visible picture; give it first" in done.stderr


def test_python_takes_temperatures(camera: Path) -> None:
    fuser, thermal = Fuser("mean", note=lambda _: None), read_thermal(camera / "FLIR.jpg")
    np.testing.assert_array_equal(fuser(thermal), fuser(camera / "FLIR.jpg"))
    assert fuser(thermal, thermal.photo, grid="ir").shape == (120, 160, 3)  # type: ignore[union-attr]


def test_a_transform_lays_temperatures_from_memory_as_from_its_file(camera: Path, tmp_path: Path) -> None:
    found = Alignment(np.array([[1.2, 0, 40], [0, 1.2, 25], [0, 0, 1]]), "similarity", (160, 120), (320, 240))
    save(found, tmp_path / "rig.json")
    fuser = Fuser("mean", note=lambda _: None)
    there = fuser(camera / "FLIR.jpg", transform=tmp_path / "rig.json")
    np.testing.assert_array_equal(
        fuser.fuse(camera / "FLIR.jpg", None, FuseOptions(transform=found, check=False)), there
    )
    assert there.shape != fuser(camera / "FLIR.jpg").shape  # type: ignore[union-attr]


def test_conditions_reach_the_temperatures(camera: Path, tmp_path: Path) -> None:
    for name, options in (("a", []), ("b", ["--emissivity", 0.8, "--humidity", 50])):
        done = fuse(camera / "FLIR.jpg", "-o", tmp_path / f"{name}.png", "--grid", "ir", "--temperature",
                    tmp_path / f"{name}.tif", *options)  # fmt: skip
        assert done.exit_code == 0, done.output
    theirs = flyr.unpack(str(camera / "FLIR.jpg")).adjust_metadata(True, emissivity=0.8, relative_humidity=0.5)
    np.testing.assert_allclose(tifffile.imread(tmp_path / "b.tif"), theirs.celsius, atol=0.01)
    assert np.abs(tifffile.imread(tmp_path / "a.tif") - theirs.celsius).max() > 0.5


def test_a_folder_of_camera_files(camera: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for seed in (0, 1):
        (folder / f"IR_{seed}.jpg").write_bytes(camera_file(seed)[0])
    (folder / "IR_2.jpg").write_bytes(camera_file(2)[0][:9000])
    extra = ("--temperature", tmp_path / "celsius", "--report", tmp_path / "all.jsonl")
    done = fuse(folder, "-o", tmp_path / "out", *extra)
    assert done.exit_code == 3
    assert "1 failed:" in done.stderr
    assert "IR_2.jpg is cut off" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["IR_0.png", "IR_1.png"]
    assert sorted(path.name for path in (tmp_path / "celsius").iterdir()) == [
        "IR_0.temperature.tif", "IR_1.temperature.tif",
    ]  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [row["file"] for row in rows] == ["IR_0.png", "IR_1.png"]
    refused = fuse(folder, "-o", tmp_path / "out2", *extra)
    assert refused.exit_code == 1
    assert "all.jsonl exists; pass --overwrite" in refused.stderr
    (tmp_path / "out/IR_1.png").unlink()
    assert fuse(folder, "-o", tmp_path / "out", *extra, "--skip-existing").exit_code == 3
    again = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert sorted(row["file"] for row in again) == ["IR_0.png", "IR_1.png"]
    ranges = [history_of(tmp_path / f"out/IR_{seed}.png")["ir_range"] for seed in (0, 1)]
    assert ranges[0] == ranges[1]  # one range for the run


def test_the_range_of_an_earlier_result(camera: Path, tmp_path: Path) -> None:
    first = fuse(camera / "FLIR.jpg", "-o", tmp_path / "a.png", "--grid", "ir")
    again = fuse(camera / "FLIR.jpg", "-o", tmp_path / "b.png", "--grid", "ir", "--range-from", tmp_path / "a.png")
    assert (first.exit_code, again.exit_code) == (0, 0), again.output
    assert history_of(tmp_path / "b.png")["ir_range"] == history_of(tmp_path / "a.png")["ir_range"]
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), read_image(tmp_path / "b.png"))
    wrong = fuse(camera / "FLIR.jpg", "-o", tmp_path / "c.png", "--range-from", camera / "photo.png")
    assert wrong.exit_code == 1
    assert "photo.png does not say how it was fused" in wrong.stderr


def test_palette_with_legend(camera: Path, tmp_path: Path) -> None:
    for name, options in (("plain", ["--no-legend"]), ("legend", []), ("own", ["--palette", "own"])):
        done = fuse(
            camera / "FLIR.jpg", "-o", tmp_path / f"{name}.png", "--grid", "ir", "--palette", "rainbow", *options
        )
        assert done.exit_code == 0, done.output
    plain, legend = read_image(tmp_path / "plain.png"), read_image(tmp_path / "legend.png")
    np.testing.assert_array_equal(legend[:, :160], plain)
    assert legend.shape[1] > 180
    fuser = Fuser("mean", note=lambda _: None)
    fused = fuser(camera / "FLIR.jpg", grid="ir")
    weights = np.array([0.299, 0.587, 0.114])
    assert np.abs(plain @ weights - fused @ weights).max() <= 1.5  # luma is the fused one


def test_a_palette_without_a_name_before_a_file(camera: Path, tmp_path: Path) -> None:
    done = fuse("--palette", camera / "FLIR.jpg", "-o", tmp_path / "a.png", "--grid", "ir")
    assert done.exit_code == 0, done.output
    assert history_of(tmp_path / "a.png")["palette"] == "bluegold"


def test_alarm_paints_only_there(camera: Path, tmp_path: Path) -> None:
    path = camera / "FLIR.jpg"
    done = fuse(path, "-o", tmp_path / "a.png", "--grid", "ir", "--alarm", "above:77", "--unit", "F", "--no-legend",
                "--temperature", tmp_path / "c.tif")  # fmt: skip
    assert done.exit_code == 0, done.output
    plain = Fuser("mean", note=lambda _: None)(path, grid="ir")
    changed = np.abs(read_image(tmp_path / "a.png").astype(int) - plain).max(2) > 1
    hot = tifffile.imread(tmp_path / "c.tif") > 25
    assert 0.01 < hot.mean() < 0.5
    assert not changed[~hot].any()
    assert changed[hot].mean() > 0.8


def test_picture_in_picture(camera: Path, tmp_path: Path) -> None:
    done = fuse(camera / "FLIR.jpg", "-o", tmp_path / "p.png", "--pip=10,20,60,50", "--grid", "ir")
    assert done.exit_code == 0, done.output
    shown, plain = read_image(tmp_path / "p.png"), Fuser("blend", note=lambda _: None)
    outside = np.ones(shown.shape[:2], bool)
    outside[20:70, 10:70] = False
    visible = fuse(camera / "FLIR.jpg", "-o", tmp_path / "v.png", "--grid", "ir", "--share", 0, model="blend")
    assert visible.exit_code == 0, visible.output
    photo = read_image(tmp_path / "v.png")
    assert np.abs(shown[outside].astype(int) - photo[outside]).max() <= 1
    assert np.abs(shown[~outside].astype(int) - photo[~outside]).mean() > 10
    assert plain is not None
    done = fuse(camera / "FLIR.jpg", "-o", tmp_path / "q.png", "--pip=10,20,600,50")
    assert done.exit_code == 1
    assert "reaches outside" in done.stderr


def test_settings_of_the_cameras_models(tmp_path: Path) -> None:
    ir, vis = synthetic_pair(40, 60, 1)
    write_image(tmp_path / "ir.png", ir)
    write_image(tmp_path / "vis.png", vis[..., 1])
    for strength in (0, 2):
        out = tmp_path / f"{strength}.png"
        done = fuse(tmp_path / "ir.png", tmp_path / "vis.png", "-o", out, "--strength", strength, model="edges")
        assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(read_image(tmp_path / "0.png"), ir)
    assert np.abs(read_image(tmp_path / "2.png").astype(int) - ir).max() > 10
    done = fuse(tmp_path / "ir.png", tmp_path / "vis.png", "-o", tmp_path / "x.png", "--share", 0.3)
    assert done.exit_code == 2
    assert "--share is a setting of --model blend" in done.stderr


def test_four_channels_in_one_file(tmp_path: Path) -> None:
    ir, vis = synthetic_pair(40, 60, 1)
    folder = tmp_path / "in"
    folder.mkdir()
    Image.fromarray(np.dstack([vis, ir])).save(folder / "a.png")
    tifffile.imwrite(folder / "b.tif", np.dstack([vis, ir]), photometric="rgb", extrasamples=[0])
    tifffile.imwrite(
        folder / "c.tif", np.dstack([vis, ir]).transpose(2, 0, 1), photometric="rgb", planarconfig="separate"
    )
    write_image(folder / "three.png", vis)
    done = fuse(folder, "-o", tmp_path / "out", "--split", "rgbt")
    assert done.exit_code == 3
    assert "three.png has 3 channels; --split rgbt takes files of four" in done.stderr
    for name in ("a", "b", "c"):
        np.testing.assert_array_equal(read_image(tmp_path / f"out/{name}.png"), Fuser("mean")(ir, vis))
    done = fuse(folder / "a.png", "-o", tmp_path / "f.png")
    assert done.exit_code == 1
    assert "--split rgbt if its fourth channel is the thermal one" in done.stderr


def test_painted_infrared(tmp_path: Path) -> None:
    ir, vis = synthetic_pair(80, 100, 1)
    write_image(tmp_path / "ir.png", known_palettes()["iron"][ir])
    write_image(tmp_path / "vis.png", vis)
    done = fuse(tmp_path / "ir.png", tmp_path / "vis.png", "-o", tmp_path / "f.png")
    assert done.exit_code == 0, done.output
    assert "is painted in iron; its values are used" in done.stderr
    expected = Fuser("mean")(ir, vis)
    assert np.abs(read_image(tmp_path / "f.png").astype(int) - expected).max() <= 2
    done = fuse(tmp_path / "ir.png", tmp_path / "vis.png", "-o", tmp_path / "g.png", "--ir-palette", "none")
    assert done.exit_code == 0, done.output
    assert np.abs(read_image(tmp_path / "g.png").astype(int) - expected).max() > 5
    assert fuse(tmp_path / "ir.png", tmp_path / "vis.png", "-o", tmp_path / "h.png", "--ir-palette", "x").exit_code == 2


def test_black_hot(tmp_path: Path) -> None:
    ir, vis = synthetic_pair(40, 60, 1)
    write_image(tmp_path / "ir.png", 255 - ir)
    write_image(tmp_path / "vis.png", vis)
    done = fuse(tmp_path / "ir.png", tmp_path / "vis.png", "-o", tmp_path / "f.png", "--invert-ir")
    assert done.exit_code == 0, done.output
    assert np.abs(read_image(tmp_path / "f.png").astype(int) - Fuser("mean")(ir, vis)).max() <= 1


def test_celsius_and_counts(tmp_path: Path) -> None:
    celsius, vis = radiometric_scene(40, 60, 1)
    celsius[:5] = np.nan
    tifffile.imwrite(tmp_path / "c.tif", celsius)
    Image.fromarray(counts_of(np.nan_to_num(celsius))).save(tmp_path / "counts.png")
    write_image(tmp_path / "vis.png", vis)
    pair = (tmp_path / "c.tif", tmp_path / "vis.png", "-o", tmp_path / "f.png")
    done = fuse(*pair, "--temperature", tmp_path / "t.tif", "--report", tmp_path / "r.json")
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "t.tif"), celsius)
    assert (
        np.abs(read_image(tmp_path / "f.png")[:3].astype(int) - vis[:3]).max() <= 1
    )  # the photo where nothing is known
    for option in (["--unit", "F"], ["--temperature", tmp_path / "u.tif"], ["--report", tmp_path / "u.json"]):
        done = fuse(tmp_path / "counts.png", tmp_path / "vis.png", "-o", tmp_path / "g.png", *option)
        assert done.exit_code == 1
        assert f"counts.png contains no temperatures, which {option[0]} needs" in done.stderr
    assert not any((tmp_path / name).exists() for name in ("g.png", "u.tif", "u.json"))


@pytest.mark.parametrize(
    ("options", "code", "word"),
    [
        (["--alarm", "between:38:36"], 2, "the wrong way round"),
        (["--palette", "grey"], 2, "no hue"),
        (["--palette", "irn"], 2, "choose one of bluegold"),
        (["--emissivity", "0"], 2, "--emissivity 0 is outside 0.01 to 1"),
        (["--humidity", "150"], 2, "--humidity"),
        (["--spot", "1,2"], 2, "--report"),
        (["--report", "{out}/r.json", "--spot", "9999,2"], 1, "--spot 9999,2 lies outside"),
        (["--report", "{out}/r.json", "--box", "1,2,3"], 2, "--box"),
        (["--temperature", "{out}/t.png"], 2, "ends in .tif"),
        (["--temperature", "{out}/fused.tif"], 2, "name one file"),
        (["--invert-ir"], 1, "leave out --invert-ir"),
        (["--range-from", "{out}/missing.png"], 1, "no such file"),
        (["--pip=1,2"], 2, "--pip"),
    ],
)
def test_wrong_wishes(camera: Path, tmp_path: Path, options: list[str], code: int, word: str) -> None:
    asked = [option.format(out=tmp_path) for option in options]
    done = fuse(camera / "FLIR.jpg", "-o", tmp_path / "fused.tif", *asked)
    assert done.exit_code == code, done.output
    assert word in done.stderr
    assert done.stderr.strip().splitlines()[-1].startswith("error:")
    assert not list(tmp_path.iterdir())


def test_conditions_need_a_radiometric_file(tmp_path: Path) -> None:
    ir, vis = synthetic_pair(40, 60, 1)
    write_image(tmp_path / "ir.png", ir)
    write_image(tmp_path / "vis.png", vis)
    done = fuse(tmp_path / "ir.png", tmp_path / "vis.png", "-o", tmp_path / "f.png", "--emissivity", 0.9)
    assert done.exit_code == 1
    assert "--emissivity applies to radiometric JPEGs only" in done.stderr


def test_real_camera_file(shared: Path, tmp_path: Path) -> None:
    path = shared / "cases/flir/FLIR.jpg"
    done = fuse(path, "-o", tmp_path / "f.png", "--temperature", tmp_path / "c.tif")
    assert done.exit_code == 0, done.output
    matrix = np.array(history_of(tmp_path / "f.png")["alignment"]["matrix"])
    middle = matrix @ [119.5, 159.5, 1]
    np.testing.assert_allclose(middle[:2], (269, 304), atol=3)  # read off the mug's outline in both
    assert np.nanmax(tifffile.imread(tmp_path / "c.tif")) == pytest.approx(62.3, abs=0.3)


def test_folders_below(tmp_path: Path) -> None:
    celsius, vis = radiometric_scene(30, 40, 1)
    for side in ("ir", "vis"):
        (tmp_path / side / "day").mkdir(parents=True)
    tifffile.imwrite(tmp_path / "ir/day/a.tif", celsius)
    write_image(tmp_path / "vis/day/a.png", vis)
    done = fuse(tmp_path / "ir", tmp_path / "vis", "-o", tmp_path / "out", "--recursive", "--no-check", "--temperature",
                tmp_path / "t", "--report", tmp_path / "r.jsonl")  # fmt: skip
    assert done.exit_code == 0, done.output
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "t/day/a.temperature.tif"), celsius)
    assert json.loads((tmp_path / "r.jsonl").read_text())["file"] == "day/a.png"
