"""The exit status of every command, against the table in docs/exit-codes.md."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cmmdl.cli import COMMANDS, exit_codes, main
from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair
from conftest import ROOT


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Pairs a and b; beside them a damaged pair, one picture without a partner, and folders with nothing sound."""
    monkeypatch.setattr("cmmdl.models.allocator.reuse_memory", lambda: True)
    monkeypatch.chdir(tmp_path)
    for set_name, stems in (("good", "ab"), ("some", "abx"), ("lonely", "ab"), ("bad", "x")):
        for side in ("ir", "vis"):
            Path(set_name, side).mkdir(parents=True)
        for stem in stems:
            for side, picture in zip(("ir", "vis"), synthetic_pair(48, 64, seed=ord(stem)), strict=True):
                write_image(Path(set_name, side, f"{stem}.png"), picture)
    for damaged in ("some/ir/x.png", "bad/ir/x.png"):
        Path(damaged).write_text("no picture")
    write_image(Path("lonely/ir/c.png"), np.zeros((48, 64), np.uint8))
    Path("there.png").write_bytes(b"mine")
    Path("there.safetensors").write_bytes(b"mine")
    return tmp_path


CASES = [
    (0, "fuse good/ir/a.png good/vis/a.png -o new.png --model mean"),
    (0, "fuse good/ir good/vis -o new --model mean -q"),
    (0, "fuse good/ir/a.png good/vis/a.png -o there.png --model mean --skip-existing"),
    (0, "fuse good/ir good/vis -o new.v2 --model mean --depth uint16 -q"),
    (1, "fuse good/ir/a.png good/vis/nowhere.png -o new.png --model mean"),
    (1, "fuse good/ir/a.png good/vis/a.png -o there.png --model mean"),
    (1, "fuse good/ir/a.png good/vis/a.png -o new.png --model nonsense"),
    (1, "fuse bad/ir bad/vis -o new --model mean -q"),
    (2, "fuse"),
    (1, "fuse good/ir/a.png -o new.png"),
    (2, "fuse good/ir good/vis/a.png -o new.png --model mean"),
    (2, "fuse good/ir/a.png good/vis/a.png -o good --model mean"),
    (2, "fuse good/ir/a.png good/vis/a.png -o new.png --model mean --depth float32"),
    (2, "fuse good/ir good/vis -o new --model mean --depth uint16 --format jpg"),
    (2, "fuse good/ir/a.png good/vis/a.png -o new.gif --model mean"),
    (2, "fuse good/ir good/vis -o new --overwrite --skip-existing"),
    (2, "fuse good/ir good/vis -o new --depth uint9"),
    (3, "fuse some/ir some/vis -o new --model mean -q"),
    (3, "fuse lonely/ir lonely/vis -o new --model mean -q"),
    (0, "evaluate good/vis good/ir good/vis --metrics EN --workers 1"),
    (1, "evaluate good/vis good/nowhere good/vis"),
    (1, "evaluate bad/vis bad/ir bad/vis --metrics EN --workers 1"),
    (2, "evaluate good/vis/a.png good/ir good/vis"),
    (2, "evaluate good/vis good/ir good/vis --metrics QX"),
    (3, "evaluate some/vis some/ir some/vis --metrics EN --workers 1"),
    (0, "sheet good/ir good/vis -o new.png --methods mean -q"),
    (1, "sheet bad/ir bad/vis -o new.png --methods mean -q"),
    (1, "sheet good/ir good/vis -o there.png --methods mean"),
    (2, "sheet good/ir good/vis -o new.png --methods mean,mean"),
    (2, "sheet good/ir good/vis -o new.png --methods mean --crop 1,2,3"),
    (2, "sheet good/ir good/vis/a.png -o new.png --methods mean"),
    (3, "sheet some/ir some/vis -o new.png --methods mean -q"),
    (0, "data list msrs"),
    (0, "data check good -q"),
    (1, "data check nowhere"),
    (2, "data list nonsense"),
    (2, "data prepare msrs --from good -o new --sha256 00"),
    (3, "data check some -q"),
    (3, "data check lonely -q"),
    (1, "train --ir nowhere/ir --vis nowhere/vis -o run"),
    (1, "train nowhere.toml"),
    (2, "train --ir good/ir"),
    (2, "train --ir good/ir --vis good/vis --set optim.lrr=1"),
    (2, "train --ir good/ir --vis good/vis --set optim"),
    (0, "train --ir good/ir --vis good/vis --show-config"),
    (0, "average cmmdl-rt cmmdl-rt -o new.safetensors"),
    (1, "average cmmdl-rt nowhere.safetensors -o new.safetensors"),
    (1, "average cmmdl-rt cmmdl-rt -o there.safetensors"),
    (2, "average cmmdl-rt cmmdl-rt -o new.pth"),
    (2, "average cmmdl-rt cmmdl-rt --share 1 -o new.safetensors"),
    (0, "models"),
    (2, "models --jsn"),
    (1, "convert nowhere.pth -o new.safetensors"),
    (1, "convert nowhere.pth -o there.safetensors"),
    (2, "convert nowhere.pth -o new.pth"),
    (1, "export nonsense -o new.onnx"),
    (2, "export mean -o new.xml --format onnx"),
    (2, "export cmmdl-ivf -o new.onnx --precision int8"),
    (2, "bench --size big"),
    (2, "bench --model mean --baseline nonsense"),
    (1, "bench --model mean --json nowhere/new.json"),
    (1, "bench --model nowhere.onnx --backend torch --size 17x9 --rounds 1 --repeats 1 -q"),
    (0, "doctor"),
    (2, "fues"),
]


@pytest.mark.parametrize(("status", "line"), CASES, ids=[line for _, line in CASES])
def test_every_command_keeps_to_the_table(place: Path, status: int, line: str) -> None:
    result = CliRunner().invoke(main, line.split())
    assert result.exit_code == status, result.output
    assert "Traceback" not in result.output
    if status in (1, 2):
        assert result.stderr.strip(), "the reason is told"
        assert not list(place.rglob("new*.*")), "nothing is left behind"
        assert (place / "there.png").read_bytes() == (place / "there.safetensors").read_bytes() == b"mine"


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX systems")
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_folder_run_that_is_stopped(place: Path, number: int, status: int) -> None:
    for side in ("ir", "vis"):
        for copy in range(400):
            os.link(f"good/{side}/a.png", f"good/{side}/{copy:03}.png")
    call = [sys.executable, "-m", "cmmdl", "fuse", "good/ir", "good/vis", "-o", "new", "--model", "mean", "-q"]
    process = subprocess.Popen(call, stderr=subprocess.PIPE, text=True)
    out = place / "new"
    for _ in range(6000):
        if out.exists() and len(list(out.glob("*.png"))) > 3:
            break
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status, errors
    assert "Traceback" not in errors
    assert 3 < len(list(out.glob("*.png"))) < 402
    assert not [path for path in out.iterdir() if path.suffix != ".png"], "no temporary file stays"


def test_the_handlers_of_the_process_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert CliRunner().invoke(main, ["models"]).exit_code == 0
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("command", COMMANDS)
def test_help_tells_the_exit_status(command: str) -> None:
    assert "Exit status: 0 done, 1 nothing done" in " ".join(
        CliRunner().invoke(main, [command, "--help"]).output.split()
    )
    whole = CliRunner().invoke(main, ["--help"]).output
    for line in exit_codes.TABLE.splitlines()[2:]:
        assert line.strip() in whole


def test_the_page_lists_every_status() -> None:
    page = (ROOT / "docs/exit-codes.md").read_text()
    numbers = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert numbers == {0, 1, 2, 3, 130, 143}
    assert all(f"| {number} | " in page for number in numbers)
