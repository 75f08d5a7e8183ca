"""Sizes that differ, and colours where none are expected."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cmmdl import Fuser
from cmmdl.cli import main
from cmmdl.errors import UserError
from cmmdl.files.images import write_image
from cmmdl.fusion.fitting import same_aspect

GREY = np.arange(20 * 30, dtype=np.uint16).reshape(20, 30).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)
MAX = Fuser("max", note=lambda text: None)


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        ((120, 160), (480, 640), True),
        ((120, 160), (480, 644), True),  # 0.6 %
        ((120, 160), (480, 648), False),  # 1.3 %, 6 pixels
        ((12, 16), (13, 16), True),  # one pixel
        ((12, 16), (14, 16), False),
        ((128, 160), (265, 546), False),
        ((160, 128), (128, 160), False),
        ((100, 100), (200, 200), True),
    ],
)
def test_same_aspect(one: tuple[int, int], two: tuple[int, int], same: bool) -> None:
    assert same_aspect(one, two) == same


def test_resizing_refuses_to_stretch() -> None:
    ir, vis = np.zeros((128, 160), np.uint8), np.zeros((265, 546), np.uint8)
    with pytest.raises(
        UserError, match=r"160x128.*546x265.*would stretch it; their aspects differ \(1\.250 and 2\.060\)"
    ):
        MAX(ir, vis, resize_ir=True)
    with pytest.raises(UserError, match=r"one size; their aspects differ .*; crop both"):
        MAX(ir, vis)
    with pytest.raises(UserError, match=r"one size; --resize-ir \(resize_ir=True in Python\) resizes"):
        MAX(ir[:100], np.zeros((200, 320), np.uint8))
    assert np.shape(MAX(ir[:100], np.zeros((200, 320), np.uint8), resize_ir=True)) == (200, 320)


def test_a_picture_turned_by_its_orientation_is_named(tmp_path: Path) -> None:
    write_image(tmp_path / "ir.png", GREY)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOUR).save(tmp_path / "vis.jpg", exif=exif)
    for more in (False, True):
        with pytest.raises(UserError, match=r"vis\.jpg was turned by its EXIF orientation and the other was not"):
            MAX(tmp_path / "ir.png", tmp_path / "vis.jpg", resize_ir=more)
    with pytest.raises(UserError, match="one of them is turned by 90 degrees"):
        MAX(GREY, COLOUR.transpose(1, 0, 2))


def notes_of(ir: np.ndarray, vis: np.ndarray) -> list[str]:
    notes: list[str] = []
    fuser = Fuser("max", note=notes.append)
    for _ in range(2):
        fuser(ir, vis)
    return notes


def test_infrared_in_colours_is_said_once() -> None:
    (note,) = notes_of(COLOUR, COLOUR)
    assert "its luma is used, which is not temperature" in note
    assert "swap" not in note
    (note,) = notes_of(COLOUR, GREY)
    assert "the order may be wrong" in note


def test_grey_in_three_channels_is_no_colour() -> None:
    grey = np.repeat(GREY[..., None], 3, axis=2)
    assert notes_of(grey, COLOUR) == []
    grey[..., 1] += (grey[..., 1] < 250).astype(np.uint8) * 2  # as JPEG rounds
    assert notes_of(grey, COLOUR) == []


def test_lost_metadata_is_named_once_a_run(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
        for number in range(3):
            Image.fromarray(GREY).save(tmp_path / side / f"{number}.jpg", exif=exif)
    arguments = ["fuse", str(tmp_path / "ir"), str(tmp_path / "vis"), "-o", str(tmp_path / "out"), "--model", "max"]
    result = CliRunner().invoke(main, [*arguments, "--strict", "--format", "bmp"])
    assert result.exit_code == 0
    assert result.stderr.count(".bmp cannot hold metadata") == 1
    assert "metadata" not in CliRunner().invoke(main, [*arguments, "--format", "bmp", "--overwrite", "-q"]).stderr
    assert "note" not in CliRunner().invoke(main, arguments).stderr  # a PNG keeps it


def test_orientation_alone_is_no_metadata(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=exif)
    arguments = ["fuse", str(tmp_path / "a.jpg"), str(tmp_path / "a.jpg"), "-o", str(tmp_path / "b.png")]
    result = CliRunner().invoke(main, [*arguments, "--model", "max"])
    assert "note" not in result.stderr


def test_real_palettes_and_aspects(cases: Path) -> None:
    vis = cases / "aspect/vis_546x265.png"
    for name in ("ir_160x128.png", "ir_portrait.png"):
        with pytest.raises(UserError, match="would stretch it"):
            MAX(cases / "aspect" / name, vis, resize_ir=True)
    for name in ("ir_inferno.png", "ir_jet.png"):
        with pytest.warns(UserWarning, match="is in colours"):
            Fuser("max")(cases / "palette" / name, cases / "palette/vis.png")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Fuser("max")(cases / "palette/ir_blackhot.png", cases / "palette/vis.png")
    with pytest.raises(UserError, match=r"vis_or6\.jpg was turned by its EXIF"):
        MAX(cases / "metadata/ir.jpg", cases / "metadata/vis_or6.jpg")
