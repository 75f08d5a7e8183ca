"""Scoring, sheets, checks and training read the levels that fusing reads."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

from cmmdl.cli import main
from cmmdl.errors import UserError
from cmmdl.evaluate import evaluate_files, evaluate_folder
from cmmdl.files.images import read_image, write_image
from cmmdl.files.ranges import settled
from cmmdl.scenes import synthetic_pair
from cmmdl.training.data import Crops, read_luma
from cmmdl.training.loop import Training
from training_helpers import tiny_config

HEIGHT, WIDTH = 72, 80


def counts(picture: np.ndarray, low: int = 7000, high: int = 8500) -> np.ndarray:
    """8-bit levels as counts, exactly as many as they are apart."""
    return (low + np.rint(picture / 255.0 * (high - low))).astype(np.uint16)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Folders of pairs: infrared once in 8 bits (``ir8``), once as counts (``ir``), which span all of their range."""
    for folder in ("ir", "ir8", "vis"):
        (tmp_path / folder).mkdir()
    for number in range(3):
        ir, vis = synthetic_pair(HEIGHT, WIDTH, seed=number)
        ir = np.rint((ir - float(ir.min())) * (255 / (float(ir.max()) - float(ir.min())))).astype(np.uint8)
        ir[:2] = np.repeat(np.uint8([[0], [255]]), WIDTH, axis=1)  # more than a thousandth of each end
        write_image(tmp_path / f"ir8/{number}.png", ir)
        write_image(tmp_path / f"ir/{number}.png", counts(ir))
        write_image(tmp_path / f"vis/{number}.png", vis)
    return tmp_path


def cmmdl(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)], catch_exceptions=False)


def test_a_result_is_scored_against_what_was_fused(data: Path) -> None:
    assert cmmdl("fuse", data / "ir", data / "vis", "-o", data / "out", "--model", "laplacian", "-q").exit_code == 0
    files = {"ours": data / "out"}
    expected = evaluate_folder(files, data / "ir8", data / "vis", workers=1).scores
    found = evaluate_folder(files, data / "ir", data / "vis", workers=1, ir_range="auto", note=lambda text: None).scores
    np.testing.assert_allclose(found, expected, atol=1e-9)
    with pytest.warns(UserWarning, match='ir_range="auto"'):
        dark = evaluate_folder(files, data / "ir", data / "vis", workers=1).scores
    assert np.abs(dark - expected).max() > 1


def test_the_command_takes_the_same_range_by_itself(data: Path) -> None:
    fused = cmmdl("fuse", data / "ir", data / "vis", "-o", data / "out", "--model", "max", "-q").stderr
    scored = cmmdl("evaluate", data / "out", data / "ir", data / "vis", "--workers", 1, "--metrics", "EN,VIF")
    assert "--ir-range 7000:8500" in fused
    assert fused in scored.stderr
    assert scored.exit_code == 0
    strict = ["evaluate", data / "out", data / "ir", data / "vis", "--workers", 1, "--metrics", "EN", "--strict"]
    assert cmmdl(*strict).exit_code == 3
    assert cmmdl(*strict, "--ir-range", "7000:8500").exit_code == 0
    assert cmmdl(*strict, "--ir-range", "7000").exit_code == 2


def test_a_range_does_not_depend_on_the_results_that_are_there(data: Path) -> None:
    write_image(data / "ir/2.png", counts(read_image(data / "ir8/2.png"), 9000, 9400))
    note = cmmdl("fuse", data / "ir", data / "vis", "-o", data / "out", "--model", "max", "-q").stderr
    (data / "out/2.png").unlink()
    scored = cmmdl("evaluate", data / "out", data / "ir", data / "vis", "--workers", 1, "--metrics", "EN")
    assert scored.exit_code == 3
    assert note in scored.stderr


def test_one_file_with_numbers(data: Path) -> None:
    ir, ir8, vis = (data / folder / "0.png" for folder in ("ir", "ir8", "vis"))
    methods = {"vis": vis}
    one = evaluate_files(methods, ir, vis, metrics=["VIF", "MI"], ir_range=(7000, 8500)).scores
    np.testing.assert_allclose(one, evaluate_files(methods, ir8, vis, metrics=["VIF", "MI"]).scores, atol=1e-9)


def test_sheets_show_counts(data: Path) -> None:
    arguments = ["--methods", "max", "--full", "-q"]
    for folder in ("ir", "ir8"):
        result = cmmdl("sheet", data / folder, data / "vis", "-o", data / f"{folder}.png", "--title", "", *arguments)
        assert result.exit_code == 0
        assert ("--ir-range 7000:8500" in result.stderr) == (folder == "ir")
    one, two = (read_image(data / f"{folder}.png").astype(int) for folder in ("ir", "ir8"))
    assert np.abs(one - two).max() <= 1


def test_checks_say_what_fusing_would(data: Path) -> None:
    (data / "ir8").rename(data / "other")
    result = cmmdl("data", "check", data)
    assert result.exit_code == 0
    assert "--ir-range 7000:8500" in result.stderr
    assert cmmdl("data", "check", data, "--strict").exit_code == 3
    hounsfield = np.linspace(-1000, 2000, HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.int16)
    tifffile.imwrite(data / "vis/0.tif", hounsfield)
    (data / "vis/0.png").unlink()
    result = cmmdl("data", "check", data, "-q")
    assert result.exit_code == 3
    assert "--vis-range -1000:2000" in result.stdout
    assert cmmdl("data", "check", data, "-q", "--vis-range", "-1000:2000").exit_code == 0


def test_training_reads_levels_and_keeps_one_range_a_source(data: Path) -> None:
    config = tiny_config(data / "run", data).data
    crops, expected = Crops(config, 0), Crops(tiny_config(data / "r", _with_8_bits(data)).data, 0)
    assert crops.ranges == [["7000:8500", "type"]]
    assert any("--ir-range 7000:8500" in note for note in crops.notes)
    for number in range(3):
        np.testing.assert_array_equal(crops[number]["ir"], expected[number]["ir"])


def _with_8_bits(data: Path) -> Path:
    """The same pairs with the 8-bit infrared pictures."""
    folder = data / "eight"
    folder.mkdir()
    for name, target in (("ir8", "ir"), ("vis", "vis")):
        (folder / target).symlink_to(data / name)
    return folder


def test_celsius_and_centikelvin_in_training(data: Path) -> None:
    levels = read_image(data / "ir8/0.png")
    write_image(data / "c.tif", (10 + levels / 255.0 * 30).astype(np.float32))
    write_image(data / "ck.png", counts(levels, 29000, 31040))
    for name in ("c.tif", "ck.png"):
        rule, _ = settled("auto", [data / name], "ir")
        np.testing.assert_array_equal(read_luma(data / name, rule), levels)
    with pytest.raises(UserError, match=r"outside \[0, 1\]; give its range"):
        read_luma(data / "c.tif")


def test_a_resumed_run_refuses_another_range(data: Path) -> None:
    config = tiny_config(data / "run", data, run={"steps": 2})
    run = Training(config)
    run.last_saved = -1
    run.save()
    Training(config)
    write_image(data / "ir/3.png", counts(read_image(data / "ir8/0.png"), 2000, 9000))
    write_image(data / "vis/3.png", read_image(data / "vis/0.png"))
    with pytest.raises(UserError, match="begun with ir_range 7000:8500 of source 1, and its pictures now give"):
        Training(config)
    Training(config, accept_changes=True)


def test_a_wrong_range_in_a_configuration_is_named(data: Path) -> None:
    with pytest.raises(UserError, match="ir-range"):
        tiny_config(data / "run", data, data={"sources": [{"ir": "a", "vis": "b", "ir_range": "7000"}]})
