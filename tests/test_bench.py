"""``cmmdl bench``: statistics against literals, rows that fail, the table, the JSON file and real processes."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cmmdl.bench import Case, Plan, Process, Row, baselines, cases_of, measure, printing, run, spread
from cmmdl.bench.case import backends_of, parse_size
from cmmdl.bench.machine import Machine, machine
from cmmdl.bench.worker import _prepare, repeated
from cmmdl.cli import main
from cmmdl.errors import UserError
from cmmdl.runtimes.peak import peak_bytes
from conftest import ROOT

MIB = 2**20

MACHINE = Machine("A1", ("AVX2",), 4, 8.0, "Linux", "3.12.1", {"cmmdl": "1.0"}, (), 0.5)


def process(calls: list[float], **changes: Any) -> Process:
    known: dict[str, Any] = {
        "calls": calls,
        "model_calls": [0.004],
        "first_result": 2.0,
        "imported": 1.0,
        "loaded": 0.5,
        "first_call": 0.25,
        "peak": 300 * MIB,
        "import_peak": 200 * MIB,
        "device_peak": None,
        "backend": "torch",
        "precision": "float32",
        "threads": 2,
        "device": "cpu",
        "notes": [],
    }
    return Process(**(known | changes))


def measured(case: Case, *rounds: list[float], **changes: Any) -> Row:
    return Row(case, [process(calls, **changes) for calls in rounds])


def test_percentiles_against_literals() -> None:
    found = spread([5.0, 1.0, 2.0, 4.0, 3.0, 6.0, 7.0, 8.0, 9.0, 20.0, 0.0])
    assert (found.calls, found.least, found.p10, found.median, found.p90, found.most) == (11, 0, 1, 5, 9, 20)
    between = spread([1.0, 2.0])
    assert (between.p10, between.median, between.p90) == pytest.approx((1.1, 1.5, 1.9))
    with pytest.raises(ValueError, match="no times"):
        spread([])


def test_figures_of_a_row_against_literals() -> None:
    row = measured(Case("mean", "torch", width=1000, height=500), [0.01, 0.02], [0.03])
    row.processes.append(process([0.02], peak=350 * MIB, import_peak=240 * MIB, first_result=4.0))
    assert row.time.median == 0.02
    assert row.frames_per_second == pytest.approx(50)
    assert row.megapixels_per_second == pytest.approx(25)
    assert row.first_result == 2.0
    assert row.peak == 350 * MIB
    assert row.above_import == 110 * MIB
    assert row.device_peak is None


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_a_network_that_ships_as_onnx_is_ready_for_a_bench(backend: str) -> None:
    pytest.importorskip(backend)
    told = list[dict[str, Any]]()
    _prepare({"model": "cmmdl-rt", "backend": backend}, lambda **message: told.append(message))
    assert told == []


def test_speed_is_that_of_medians_with_the_range_of_rounds() -> None:
    slow = measured(Case("mean", "torch"), [0.4, 0.4, 0.6], [0.3])
    fast = measured(Case("mean", "openvino"), [0.2], [0.1, 0.1])
    assert fast.speed_against(slow) == pytest.approx((4.0, 2.0, 3.0))
    assert fast.speed_against(Row(Case("mean"))) is None


def test_a_baseline_is_the_row_most_alike() -> None:
    rows = [Row(case) for case in cases_of(["mean", "max"], ["torch", "openvino"], [(64, 48), (32, 24)])]
    found = baselines(rows, "torch")
    assert all(other.case.backend == "torch" for other in found)
    assert all((a.case.model, a.case.size) == (b.case.model, b.case.size) for a, b in zip(rows, found, strict=True))
    assert {str(row.case) for row in baselines(rows, "max openvino 32x24")} == {"max openvino 32x24"}
    with pytest.raises(UserError, match="no row matches 'tensorrt'"):
        baselines(rows, "tensorrt")


def test_every_combination_is_a_row() -> None:
    rows = cases_of(["a", "b"], ["torch", "openvino"], [(8, 6)], ["float32", "bfloat16"], [1, 2], tile=32)
    assert len(rows) == len(set(rows)) == 16
    assert rows[1].words == ("a", "openvino", "8x6", "float32", "threads=1", "tile=32")


def test_only_runtimes_that_can_run_a_file_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmmdl.bench.case.installed", lambda name: name != "onnxruntime")
    assert backends_of("cmmdl-ivf") == ["torch", "openvino"]
    assert backends_of("model.onnx") == ["openvino"]
    assert backends_of("model.xml") == ["openvino"]


def test_sizes_are_read() -> None:
    assert parse_size("641x479") == (641, 479)
    for text in ("640", "0x5", "axb", "-4x4", "5x"):
        with pytest.raises(UserError, match="such as --size 640x480"):
            parse_size(text)


def test_timed_calls_are_as_many_as_asked_for() -> None:
    calls: list[int] = []
    assert len(repeated(lambda: calls.append(1), 100.0, repeats=4)) == 4
    assert len(repeated(lambda: calls.append(1), 0.0)) == 1
    assert len(calls) == 5


def test_the_peak_is_of_this_process_alone() -> None:
    """A small child of a parent that holds a lot: ``getrusage`` would tell the parent's memory on Linux."""
    held = np.ones(2**25)
    code = "from cmmdl.runtimes.peak import peak_bytes as p; a = p(); b = bytearray(2**26); print(a, p() - a)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    before, grown = (int(text) for text in out.split())
    own = peak_bytes()
    assert own is not None
    assert own > held.nbytes
    assert before < 2**27
    assert 0.9 * 2**26 < grown < 1.5 * 2**26


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Processes that are not started: openvino fails in its second round, the rest takes a millisecond."""
    seen: list[tuple[str, float]] = []

    def answer(task: dict[str, Any], timeout: float, say: Callable[[str], None] = print) -> tuple[dict[str, Any], str]:
        if task.get("prepare"):
            return {}, "cannot be exported" if task["backend"] == "onnxruntime" else ""
        seen.append((task["backend"], task["seconds"]))
        failed = task["backend"] == "openvino" and len(seen) > 2
        return ({}, "out of memory") if failed else (vars(process([0.001])), "")

    monkeypatch.setattr(run, "run_process", answer)
    return seen


def test_rows_take_turns_and_a_failing_one_stops_none(fake: list[tuple[str, float]]) -> None:
    rows = [Row(Case("mean", name, width=9, height=7)) for name in ("torch", "openvino", "onnxruntime")]
    measure(rows, Plan(seconds=18, rounds=3))
    assert fake == [("torch", 2), ("openvino", 2), ("torch", 2), ("openvino", 2), ("torch", 2)]
    assert [len(row.processes) for row in rows] == [3, 1, 0]
    assert [row.failure for row in rows] == ["", "out of memory", "cannot be exported"]


def test_rows_that_are_too_slow_for_the_time_get_fewer_rounds(
    fake: list[tuple[str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(0, 1000, 30))
    monkeypatch.setattr(run.time, "monotonic", lambda: float(next(ticks)))
    row, fixed = (Row(Case("mean", "torch", width=9, height=7)) for _ in range(2))
    measure([row], Plan(seconds=60, rounds=9))
    assert len(row.processes) == 2
    measure([fixed], Plan(seconds=60, rounds=9, repeats=1))
    assert len(fixed.processes) == 9


def test_a_process_that_ends_badly_is_explained() -> None:
    assert run._failure(0, "") == ""
    assert run._failure(1, "Traceback:\n  line\nKeyError: 'x'\n") == "ended with status 1: KeyError: 'x'"
    assert "because memory ran out" in run._failure(-9, "")


def test_tables_name_what_failed() -> None:
    good = measured(Case("mean", "torch"), [0.0123, 0.0125], notes=["fused in 4 tiles"])
    bad = Row(Case("a|b.onnx", "onnxruntime", "bfloat16"), failure="no such precision")
    lines = printing.markdown([good, bad], MACHINE, [good, good]).splitlines()
    assert lines[0] == "A1 (AVX2), 4 cores, 8 GiB; Linux; Python 3.12.1, cmmdl 1.0."
    assert lines[2].startswith("| model | backend | precision | size | threads | time, ms | 10–90 %, ms | calls |")
    assert lines[4] == (
        "| mean | torch | float32 | 640x480 | 2 | 12.4 | 12.3–12.5 | 2 | 4.00 | 80.6 | 24.8 | 2.00 | 300 | 100 | 1 | "
        "fused in 4 tiles |"
    )
    assert lines[5] == (
        "| a\\|b.onnx | onnxruntime | bfloat16 | 640x480 | – | – | – | – | – | – | – | – | – | – | – | "
        "no such precision |"
    )
    text = printing.plain([good], MACHINE)
    assert "remark" in text
    assert "speed" not in text
    assert "on GPU" not in text
    assert len({len(line.split(" | ")) for line in lines[2:6]}) == 1


@pytest.mark.parametrize(("value", "text"), [(1234.5, "1234"), (12.345, "12.3"), (0.98765, "0.988"), (0.0, "0")])
def test_three_digits(value: float, text: str) -> None:
    assert printing._figure(value) == text


def test_a_busy_machine_is_named() -> None:
    busy = Machine("A1", (), 4, None, "Linux", "3.12.1", {}, ("GPU, 8 GiB",), 3.0)
    assert busy.busy
    assert not MACHINE.busy
    assert "not quiet figures" in printing.plain([measured(Case("mean"), [1.0])], busy)
    assert str(busy) == "A1, 4 cores; GPU, 8 GiB; Linux; Python 3.12.1, "


def test_this_machine_is_described() -> None:
    here = machine()
    assert here.processor
    assert here.cores >= 1
    assert {"cmmdl", "torch", "numpy"} <= here.versions.keys()


def test_the_command_measures_and_writes(tmp_path: Path) -> None:
    """Real processes: ``mean`` runs on torch, a missing file does not."""
    files = ["--json", str(tmp_path / "b.json"), "--markdown", str(tmp_path / "b.md")]
    call = [
        "bench",
        "--model",
        "mean",
        "--model",
        "none.onnx",
        "--backend",
        "torch",
        "--size",
        "17x9",
        "--threads",
        "1",
    ]
    result = CliRunner().invoke(main, [*call, "--rounds", "2", "--repeats", "3", "--baseline", "mean", *files])
    assert result.exit_code == 3, result.output
    stored = json.loads((tmp_path / "b.json").read_text())
    assert stored.keys() == {"format", "machine", "plan", "rows"}
    assert stored["format"] == 1
    ran, failed = stored["rows"]
    assert failed["summary"] is None
    assert "torch cannot run an exported file" in failed["failure"]
    assert failed["failure"] in (tmp_path / "b.md").read_text()
    assert [len(p["calls"]) for p in ran["processes"]] == [3, 3]
    assert [len(p["model_calls"]) for p in ran["processes"]] == [3, 3]
    summary = ran["summary"]
    assert (summary["backend"], summary["precision"], summary["threads"]) == ("torch", "float32", 1)
    median = float(np.median([second for p in ran["processes"] for second in p["calls"]]))
    assert summary["seconds"]["median"] == pytest.approx(median)
    assert summary["megapixels_per_second"] == pytest.approx(17 * 9 / 1e6 / median)
    for p in ran["processes"]:
        assert p["first_result"] > p["imported"] + p["loaded"] + p["first_call"] > 0
        assert p["peak"] is None or p["peak"] >= p["import_peak"] > 10 * MIB
    assert ran["speed"] == pytest.approx({"median": 1, "least": 1, "most": 1})


def test_a_process_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    rows = [Row(Case("mean", "torch", width=5, height=3))]
    measure(rows, Plan(timeout=0.05))
    assert rows[0].failure.startswith("not done after 0.05 s")


def test_wrong_options_are_answered_at_once(tmp_path: Path) -> None:
    runner = CliRunner()
    for arguments, words in (
        (["--size", "big"], "size 'big' is not WIDTHxHEIGHT"),
        (["--baseline", "cuda"], "no row matches 'cuda'"),
        (["--json", str(tmp_path / "no" / "b.json")], "create it first"),
    ):
        result = runner.invoke(main, ["bench", *arguments])
        assert result.exit_code in (1, 2)
        assert words in result.output


def growth() -> Any:
    spec = importlib.util.spec_from_file_location("growth", ROOT / "benchmarks" / "growth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["growth"] = module  # where its dataclass looks for the types
    spec.loader.exec_module(module)
    return module


def test_growth_is_drawn_for_each_pixel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    script = growth()
    assert script.size_of(0.1) == (368, 272)
    assert script.size_of(16) == (4624, 3472)
    rows = [measured(Case("mean", "torch", width=1000, height=1000 * k, tile=64), [0.5 * k]) for k in (1, 2)]
    rows[1].processes.append(process([1.0], peak=310 * MIB))
    tiled_anyway = measured(Case("mean", "torch", width=4000, height=1000), [9.0], notes=["fused in 4 tiles"])
    failed = Row(Case("mean", "torch", width=5000, height=1000), failure="out of memory")
    line = {"name": "one", "tile": 64, **printing.as_dict([*rows, tiled_anyway, failed], MACHINE, Plan())}
    found = script.points(line)
    assert [point[:2] for point in found] == [(1.0, pytest.approx(500)), (2.0, pytest.approx(500))]
    assert [point[2] for point in found] == pytest.approx([104.8576, 57.67168])
    assert script.report([line]) == pytest.approx(110)
    printed = capsys.readouterr().out
    assert "left out: one, 4.00 MP: fused in 4 tiles" in printed
    assert "left out: one, 5.00 MP: out of memory" in printed
    assert "at most 110 MiB above the imports" in printed
    assert "10 bytes more for each pixel more" in printed
    script.draw([line], tmp_path / "a.svg")
    script.draw([line], tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.svg").read_text().count("</svg>") == 1
