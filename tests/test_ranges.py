"""Which values mean black and white: asked for, found, or the type's; and what is said about it."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner, Result

from cmmdl import Fuser
from cmmdl.cli import main
from cmmdl.errors import UsageError, UserError
from cmmdl.files.images import read_image, write_image
from cmmdl.files.ranges import RangeRule, parse_range, range_of, settled
from cmmdl.files.reading import read_picture
from cmmdl.fusion.options import FuseOptions
from cmmdl.scenes import synthetic_pair

RANDOM = np.random.default_rng(3)
IR, VIS = (picture for picture in synthetic_pair(24, 32))
"""8 bits; the infrared one spans 0 to 255 once stretched."""
LEVELS = ((IR - float(IR.min())) / (float(IR.max()) - float(IR.min()))).astype(np.float64)
"""The infrared one in [0, 1]."""


def counts(low: float, high: float, dtype: str = "uint16") -> np.ndarray:
    values = low + LEVELS * (high - low)
    return (values if "float" in dtype else np.rint(values)).astype(dtype)


def fuse(*arguments: object, model: str = "max") -> Result:
    command = ["fuse", *map(str, arguments), "--model", model, "--overwrite", "--backend", "torch"]
    return CliRunner().invoke(main, command, catch_exceptions=False)


@pytest.fixture(autouse=True)
def keep_the_allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmmdl.models.allocator.reuse_memory", lambda: True)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Counts from 7000 to 8500, a photo, and where the result goes."""
    write_image(tmp_path / "ir.png", counts(7000, 8500))
    write_image(tmp_path / "vis.png", VIS)
    return tmp_path / "ir.png", tmp_path / "vis.png", tmp_path / "out.png"


@pytest.mark.parametrize(
    ("given", "rule"),
    [
        ("7000:8500", RangeRule("numbers", 7000, 8500)),
        ("-20.5:1e2", RangeRule("numbers", -20.5, 100)),
        ("1%:99.5%", RangeRule("percent", 1, 99.5)),
        ((0, 4095), RangeRule("numbers", 0, 4095)),
        ("auto", RangeRule("auto")),
        ("each", RangeRule("each")),
        ("type", RangeRule("type")),
        (None, RangeRule("default")),
    ],
)
def test_what_can_be_asked_for(given: Any, rule: RangeRule) -> None:
    assert parse_range(given, "ir") == rule


@pytest.mark.parametrize(
    "given",
    [
        "",
        "20",
        "20 40",
        "a:b",
        "1:",
        "1%:2",
        "1:2%",
        "Auto",
        "1:2:3",
        "-1%:50%",
        "5%:101%",
        (1,),
        (1, 2, 3),
        "nan:1",
        "0:inf",
        5,
    ],
)
def test_what_cannot(given: Any) -> None:
    with pytest.raises(UsageError, match=r"--vis-range .* is not LOW:HIGH"):
        parse_range(given, "vis")
    with pytest.raises(UsageError):
        FuseOptions(vis_range=given)


@pytest.mark.parametrize("given", ["40:20", "3:3", (3, 3), "99%:1%"])
def test_empty_ranges(given: Any) -> None:
    with pytest.raises(UsageError, match="lower value first"):
        parse_range(given, "ir")


def found(array: np.ndarray, white: float | None = None, kind: str = "auto") -> tuple[tuple[float, float], list[str]]:
    taken, notes = range_of(array, white, RangeRule(kind), side="ir", name="x")  # type: ignore[arg-type]
    return taken, [*notes]


def test_auto_takes_the_span_where_it_is_below_half_of_the_range() -> None:
    values = np.arange(10_000, dtype=np.uint16)
    assert found(values + 7000)[0] == (7009, 16990)  # the values at 0.1 % and at 99.9 %
    half = np.linspace(0, 33_000, 10_000).astype(np.uint16)
    assert found(half)[0] == (0, 65535)
    assert found((half * 0.98).astype(np.uint16))[0] == (28, 32310)
    assert found(values, 9_999.0)[0] == (0, 9999)  # of a declared white
    assert found(values.astype(np.int16) - 1024)[0] == (-1015, 8966)
    assert found(values.astype(np.uint32))[0] == (9, 9990)
    assert found(values.astype(np.int64) * 1000)[0] == (9000, 9990000)


def test_auto_of_floats() -> None:
    low, high = found(np.linspace(10, 40, 10_001, dtype=np.float32))[0]
    assert (low, high) == pytest.approx((10.03, 39.97), abs=0.004)
    assert found(np.linspace(0, 1, 100, dtype=np.float32))[0] == (0, 1)
    assert found(np.linspace(0.2, 0.4, 101, dtype=np.float32))[0] == pytest.approx((0.2, 0.4))
    with pytest.raises(UserError, match=r"x has the value 21\.5 everywhere, which spans no range"):
        found(np.full((4, 4), 21.5))


def test_8_bits_are_left_as_they_are() -> None:
    assert found(np.full((4, 4), 9, np.uint8) + np.arange(4, dtype=np.uint8))[0] == (0, 255)
    assert found(np.zeros((4, 4), bool))[0] == (0, 1)
    assert found(np.arange(50, dtype=np.uint8), 100.0)[0] == (0, 100)
    assert found(np.arange(50, dtype=np.uint8), kind="each")[0] == (0, 255)


def test_flat_whole_numbers_are_those_of_their_type() -> None:
    assert found(np.full((9, 9), 7500, np.uint16))[0] == (0, 65535)


def test_a_few_hot_pixels_do_not_hide_the_scene() -> None:
    array = np.full((100, 100), 7500, np.uint16)
    array[0, :5] = 7600
    assert found(array)[0] == (7500, 7600)


@pytest.mark.parametrize(
    ("array", "says"),
    [
        (np.linspace(0, 8100, 2000).astype(np.uint16), True),  # just less than an eighth
        (np.linspace(0, 8300, 2000).astype(np.uint16), False),
        (np.linspace(0, 16383, 2000).astype(np.uint16), True),  # ends where 14 bits do
        (np.linspace(0, 16380, 2000).astype(np.uint16), False),
        (np.linspace(0, 4095, 2000).astype(np.int16), True),
        (np.linspace(0, 50, 2000).astype(np.uint8), False),
        (np.linspace(0, 0.1, 2000), False),
        (np.full(20, 300, np.uint16), False),
    ],
)
def test_the_eighth(array: np.ndarray, says: bool) -> None:
    taken, notes = found(array, kind="default")
    assert taken[0] == 0
    assert notes == (["narrow"] if says else [])
    assert found(array, kind="type") == (taken, [])


def test_a_declared_white_is_no_reason_for_a_note() -> None:
    assert found(np.linspace(0, 4095, 999).astype(np.uint16), 4095.0, "default") == ((0, 4095), [])


@pytest.mark.parametrize("kind", ["default", "type"])
def test_signed_values_below_0_need_a_range(kind: str) -> None:
    hounsfield = np.linspace(-896, 1167, 99).astype(np.int16)
    with pytest.raises(UserError, match=r"x holds int16 values from -896 to 1167, outside \[0, 32767\].*--ir-range"):
        found(hounsfield, kind=kind)


def test_clipping_more_than_one_percent_is_said() -> None:
    values = np.arange(1000, dtype=np.uint16)
    for low, kinds in ((9, []), (11, ["outside"])):
        assert [*range_of(values, None, RangeRule("numbers", low, 2000), side="ir", name="x")[1]] == kinds


def test_a_run_has_one_range(tmp_path: Path) -> None:
    for number in range(3):
        write_image(tmp_path / f"{number}.png", counts(7000 + 100 * number, 8000 + 100 * number))
    write_image(tmp_path / "3.png", IR)  # 8 bits
    (tmp_path / "4.png").write_bytes(b"damaged")
    rule, notes = settled("auto", sorted(tmp_path.iterdir()), "ir")
    pool = np.concatenate([counts(7000 + 100 * n, 8000 + 100 * n).ravel() for n in range(3)])
    low, high = (np.percentile(pool, p, method=m) for p, m in ((0.1, "lower"), (99.9, "higher")))
    assert dict(rule.found) == {("uint16", None): (low, high)}
    assert len(notes) == 1
    assert f"--ir-range {low:g}:{high:g}" in notes[0]
    for number in range(3):
        assert range_of(read_image(tmp_path / f"{number}.png"), None, rule, side="ir", name="")[0] == (low, high)
    assert range_of(IR, None, rule, side="ir", name="") == ((0, 255), {})
    assert pickle.loads(pickle.dumps(rule)) == rule


def test_at_most_64_files_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_image(tmp_path / "a.png", counts(7000, 8000))
    read: list[int] = []

    def fake(path: Path, **options: Any) -> Any:
        read.append(int(path.parent.name))
        return read_picture(tmp_path / "a.png")

    monkeypatch.setattr("cmmdl.files.ranges.read_picture", fake)
    monkeypatch.setattr("cmmdl.files.ranges.is_8_bit", lambda path: False)
    settled("auto", [Path(f"{number}/a.png") for number in range(640)], "ir")
    assert read == list(range(0, 640, 10))


def test_types_of_a_mixed_folder_have_ranges_of_their_own(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", counts(7000, 8500))
    write_image(tmp_path / "b.tif", counts(10, 40, "float32"))
    rule, notes = settled("auto", [tmp_path / "a.png", tmp_path / "b.tif"], "ir")
    assert {kind[0]: round(high) for kind, (_, high) in rule.found} == {"uint16": 8500, "float32": 40}
    assert len(notes) == 2


def test_percentages_hold_for_8_bits_too(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", np.arange(200, dtype=np.uint8).reshape(10, 20))
    rule, _ = settled("10%:90%", [tmp_path / "a.png"], "vis")
    assert dict(rule.found) == {("uint8", None): (19, 180)}


class TestCommandLine:
    def test_counts_are_found_and_said(self, files: tuple[Path, Path, Path]) -> None:
        ir, vis, out = files
        result = fuse(ir, vis, "-o", out, "-q")
        assert result.exit_code == 0
        option = result.stderr.rpartition("--ir-range ")[2].strip()
        assert result.stderr.startswith(f"note: {ir}: ")
        first = read_image(out)
        assert fuse(ir, vis, "-o", out, "--ir-range", option, "-q").exit_code == 0
        np.testing.assert_array_equal(read_image(out), first)

    @pytest.mark.parametrize(
        ("low", "high", "dtype"),
        [(7000, 8500, "uint16"), (29000, 31000, "uint16"), (0, 4095, "uint16"), (10, 40, "float32")],
    )
    def test_with_its_own_ends_it_is_as_8_bits(self, tmp_path: Path, low: int, high: int, dtype: str) -> None:
        write_image(tmp_path / "ir.tif", counts(low, high, dtype))
        write_image(tmp_path / "ir8.png", np.rint(LEVELS * 255).astype(np.uint8))
        write_image(tmp_path / "vis.png", VIS)
        for name in ("ir.tif", "ir8.png"):
            more = ["--ir-range", f"{low}:{high}"] if name == "ir.tif" else []
            assert fuse(tmp_path / name, tmp_path / "vis.png", "-o", tmp_path / f"{name}.png", *more).exit_code == 0
        one, two = (read_image(tmp_path / f"{name}.png").astype(int) for name in ("ir.tif", "ir8.png"))
        assert np.abs(one - two).max() <= 1

    def test_a_folder_has_one_range_also_when_it_is_continued(self, tmp_path: Path) -> None:
        for side in ("ir", "vis"):
            (tmp_path / side).mkdir()
        for n in range(3):
            write_image(tmp_path / f"ir/{n}.png", counts(7000 + 300 * n, 7500 + 300 * n))
            write_image(tmp_path / f"vis/{n}.png", VIS)
        out = tmp_path / "out"
        result = fuse(tmp_path / "ir", tmp_path / "vis", "-o", out, "-q")
        assert result.stderr.count("note: ") == 1
        whole = [read_image(out / f"{n}.png") for n in range(3)]
        (out / "1.png").unlink()
        command = ["fuse", str(tmp_path / "ir"), str(tmp_path / "vis"), "-o", str(out), "--model", "max"]
        assert CliRunner().invoke(main, [*command, "--skip-existing", "-q"]).exit_code == 0
        np.testing.assert_array_equal(read_image(out / "1.png"), whole[1])
        each = fuse(tmp_path / "ir", tmp_path / "vis", "-o", out, "-q", "--ir-range", "each")
        assert each.stderr == ""
        assert not np.array_equal(read_image(out / "1.png"), whole[1])

    def test_strict(self, files: tuple[Path, Path, Path]) -> None:
        ir, vis, out = files
        assert fuse(ir, vis, "-o", out, "--strict").exit_code == 3
        assert out.exists()
        assert fuse(ir, vis, "-o", out, "--strict", "--ir-range", "7000:8500").exit_code == 0

    def test_twelve_bits_on_the_second_side(self, files: tuple[Path, Path, Path]) -> None:
        ir, _, out = files
        write_image(out.with_name("v.png"), VIS.astype(np.uint16) * 16)
        result = fuse(ir, out.with_name("v.png"), "-o", out, "-q", "--ir-range", "7000:8500")
        assert "--vis-range 0:4095" in result.stderr
        result = fuse(ir, out.with_name("v.png"), "-o", out, "-q", "--ir-range", "7000:8500", "--vis-range", "type")
        assert result.stderr == ""

    def test_hounsfield_units(self, files: tuple[Path, Path, Path]) -> None:
        ir, vis, out = files
        tifffile.imwrite(out.with_name("ct.tif"), counts(-1000, 3000, "int16"))
        result = fuse(ir, out.with_name("ct.tif"), "-o", out, "-q", "--ir-range", "type")
        assert result.exit_code == 1
        assert "--vis-range -1000:3000" in result.stderr
        assert not out.exists()
        assert fuse(ir, out.with_name("ct.tif"), "-o", out, "-q", "--vis-range", "-1000:3000").exit_code == 0
        result = fuse(out.with_name("ct.tif"), vis, "-o", out, "-q")
        assert result.exit_code == 0
        assert "taken as black and white" in result.stderr

    def test_the_old_form_is_wrong_usage(self, files: tuple[Path, Path, Path]) -> None:
        result = fuse(*files[:2], "-o", files[2], "--ir-range", "20", "40")
        assert result.exit_code == 2
        assert "give for example 7000:8500" in result.stderr

    def test_8_bits_are_the_same_to_the_bit(self, files: tuple[Path, Path, Path]) -> None:
        _, vis, out = files
        write_image(out.with_name("ir8.png"), (IR // 4).astype(np.uint8))
        result = fuse(out.with_name("ir8.png"), vis, "-o", out, "-q")
        assert result.stderr == ""
        np.testing.assert_array_equal(read_image(out), Fuser("max", backend="torch")((IR // 4).astype(np.uint8), VIS))


class TestPython:
    def test_nothing_is_guessed_and_a_warning_comes_once_a_side(self) -> None:
        fuser = Fuser("max")
        with pytest.warns(UserWarning, match='ir_range="auto"'):
            dark = fuser(counts(7000, 8500), VIS)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fuser(counts(7000, 8500), VIS)
        np.testing.assert_array_equal(dark, fuser(counts(7000, 8500), VIS, ir_range=(0, 65535)))
        with pytest.warns(UserWarning, match='vis_range="0:4095"'):
            fuser(IR, VIS.astype(np.uint16) * 16)

    def test_asked_for_nothing_is_said(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            auto = np.asarray(Fuser("max")(counts(7000, 8500), VIS, ir_range="auto"))
            numbers = Fuser("max")(counts(7000, 8500), VIS, ir_range="7000:8500")
            Fuser("max")(counts(7000, 8500), VIS, ir_range="type")
        assert np.abs(auto.astype(int) - np.asarray(numbers)).max() < 30

    def test_a_batch_shares_its_range_and_each_does_not(self) -> None:
        ir = torch.from_numpy(np.stack([counts(7000, 7500), counts(8000, 8500)]).astype(np.int32))[:, None]
        vis = torch.zeros(2, 1, *IR.shape)
        fuser = Fuser("max", backend="torch")
        shared, each = (fuser(ir, vis, ir_range=word) for word in ("auto", "each"))
        assert isinstance(shared, torch.Tensor)
        assert isinstance(each, torch.Tensor)
        assert shared[0].max() < 0.4
        assert shared[1].min() > 0.6
        assert torch.equal(each[0], each[1])
        assert each[0].max() > 0.99

    def test_each_keeps_the_type_of_the_result(self) -> None:
        vis = torch.from_numpy(np.stack([counts(0, 1000), counts(0, 2000)]).astype(np.uint16))[:, None]
        fused = Fuser("max", backend="torch")(torch.zeros_like(vis, dtype=torch.uint8), vis, vis_range="each")
        assert isinstance(fused, torch.Tensor)
        assert fused.dtype == torch.uint16

    def test_declared_white(self, tmp_path: Path) -> None:
        header = f"P5\n{IR.shape[1]} {IR.shape[0]}\n4095\n".encode()
        (tmp_path / "vis.pgm").write_bytes(header + counts(0, 4095).astype(">u2").tobytes())
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            fused = np.asarray(Fuser("max")(np.zeros_like(IR), tmp_path / "vis.pgm"))
        np.testing.assert_allclose(fused / 65535, LEVELS, atol=2e-4)


@pytest.mark.parametrize("model", ["max", "cmmdl-rt"])
@pytest.mark.parametrize(
    ("name", "ends"),
    [
        ("ir_7000_8500.png", "7000:8500"),
        ("ir_ck_29000_31000.png", "29000:31000"),
        ("ir_12in16.tif", "0:4095"),
        ("ir_51241_52181.png", "51241:52181"),
        ("ir_celsius.tif", "10:40"),
        ("ir_full16.png", ""),
    ],
)
def test_real_counts(cases: Path, tmp_path: Path, model: str, name: str, ends: str) -> None:
    folder, out = cases / "ir16_counts", tmp_path / "out.png"

    def fused(ir: Path, *more: str) -> tuple[np.ndarray, str]:
        result = fuse(ir, folder / "vis.png", "-o", out, "-q", *more, model=model)
        assert result.exit_code == 0
        return read_image(out).astype(int), result.stderr

    eight_bits = fused(cases / "misaligned/ir.png")[0]
    found, note = fused(folder / name)
    if not ends:
        assert note == ""
        assert np.abs(found - eight_bits).max() <= 1
        return
    assert np.abs(found - fused(folder / name, "--ir-range", note.split()[-1])[0]).max() <= 1
    assert np.abs(eight_bits - fused(folder / name, "--ir-range", ends)[0]).max() <= 1
