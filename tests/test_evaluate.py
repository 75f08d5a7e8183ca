"""Folders and files through to scores: pairing, exclusion, workers, the command."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from cmmdl import metrics
from cmmdl.cli import main
from cmmdl.cli.evaluate import BASELINE_NAMES, CONVENTION_NAMES
from cmmdl.errors import UserError
from cmmdl.evaluate import evaluate_files, evaluate_folder
from cmmdl.evaluate.scoring import stretch_levels
from cmmdl.files.levels import to_8_bits
from cmmdl.metrics import CONVENTIONS, score
from cmmdl.models.baselines import BASELINES

STEMS = ["a", "b", "c", "d"]
METRICS = ["EN", "SD", "MI", "MSE"]


def smooth(seed: int, height: int = 48, width: int = 64) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (height, width)).astype(np.float32)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 10, 245, cv2.NORM_MINMAX).astype(np.uint8)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Folders ir, vis, mean and max of four scenes; visible pictures are in colour."""
    for folder in ("ir", "vis", "mean", "max"):
        (tmp_path / folder).mkdir()
    for k, stem in enumerate(STEMS):
        ir, vis = smooth(k), smooth(10 + k)
        cv2.imwrite(str(tmp_path / "ir" / f"{stem}.png"), ir)
        cv2.imwrite(str(tmp_path / "vis" / f"{stem}.png"), np.dstack([vis] * 3))
        cv2.imwrite(str(tmp_path / "mean" / f"{stem}.png"), np.rint((ir.astype(float) + vis) / 2).astype(np.uint8))
        cv2.imwrite(str(tmp_path / "max" / f"{stem}.png"), np.maximum(ir, vis))
    return tmp_path


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["evaluate", *map(str, arguments)])


def test_scores_are_those_of_the_metrics(data: Path) -> None:
    result = evaluate_folder({"max": data / "max"}, data / "ir", data / "vis", workers=1)
    assert result.pictures == ("a", "b", "c", "d")
    assert result.metrics == tuple(CONVENTIONS["cmmdl"].metrics)
    expected = score(np.maximum(smooth(1), smooth(11)), smooth(1), smooth(11))
    assert dict(zip(result.metrics, result.scores[0, 1], strict=True)) == pytest.approx(expected, rel=1e-12)


def test_the_number_of_workers_does_not_change_a_bit(data: Path) -> None:
    methods = {"max": data / "max", "mean": data / "mean"}
    one = evaluate_folder(methods, data / "ir", data / "vis", workers=1, baselines=["laplacian"])
    two = evaluate_folder(methods, data / "ir", data / "vis", workers=2, baselines=["laplacian"])
    assert np.array_equal(one.scores, two.scores)
    assert one.methods == two.methods == ("max", "mean", "laplacian")


def test_a_baseline_scores_like_its_own_folder(data: Path) -> None:
    result = evaluate_folder(
        {"folder": data / "max"}, data / "ir", data / "vis", metrics=METRICS, baselines=["max"], workers=1
    )
    assert np.array_equal(result.scores[0], result.scores[1])


def test_holes_breakage_and_sizes_are_excluded_for_all(data: Path) -> None:
    (data / "max" / "a.png").unlink()
    (data / "mean" / "b.png").write_bytes((data / "mean" / "b.png").read_bytes()[:300])
    cv2.imwrite(str(data / "mean" / "c.png"), smooth(0, 24, 32))
    cv2.imwrite(str(data / "mean" / "extra.png"), smooth(0))
    methods = {"max": data / "max", "mean": data / "mean"}
    result = evaluate_folder(methods, data / "ir", data / "vis", metrics=METRICS, workers=1)
    assert result.pictures == ("d",)
    assert result.scores.shape == (2, 1, 4)
    where = [(exclusion.picture, exclusion.source) for exclusion in result.excluded]
    assert where == [("a", "max"), ("b", "mean"), ("c", "mean"), ("extra", "ir"), ("extra", "vis"), ("extra", "max")]
    reasons = [exclusion.reason for exclusion in result.excluded]
    assert reasons[0] == "there is no such file"
    assert "truncated" in reasons[1]
    assert reasons[2] == "32x24 pixels, but ir has 64x48"


def test_what_a_metric_refuses_is_excluded(data: Path) -> None:
    for folder in ("ir", "vis", "max"):
        cv2.imwrite(str(data / folder / "a.png"), smooth(0, 20, 20))
    result = evaluate_folder({"max": data / "max"}, data / "ir", data / "vis", metrics=["VIF"], workers=1)
    assert result.pictures == ("b", "c", "d")
    assert "too small" in result.excluded[0].reason


def test_nothing_left_is_an_error_with_reasons(data: Path) -> None:
    for stem in STEMS:
        (data / "max" / f"{stem}.png").write_bytes(b"no picture")
    with pytest.raises(UserError, match=r"nothing could be scored: a \(max\): .* and 1 more"):
        evaluate_folder({"max": data / "max"}, data / "ir", data / "vis", metrics=METRICS, workers=1)


def test_no_common_stem_is_an_error(data: Path) -> None:
    for stem in STEMS:
        (data / "max" / f"{stem}.png").rename(data / "max" / f"{stem}_fused.png")
    with pytest.raises(UserError, match="no file stem is common"):
        evaluate_folder({"max": data / "max"}, data / "ir", data / "vis")


def test_suffixes_are_stripped_before_pairing(data: Path) -> None:
    plain = evaluate_folder({"max": data / "max"}, data / "ir", data / "vis", metrics=METRICS, workers=1)
    (data / "both").mkdir()
    for stem in STEMS:
        (data / "max" / f"{stem}.png").rename(data / "max" / f"{stem}_max.png")
        for source in ("ir", "vis"):
            (data / source / f"{stem}.png").rename(data / "both" / f"{stem}-{source}.png")
    marks = {"fused_suffix": "_{method}", "ir_suffix": "-ir", "vis_suffix": "-vis"}
    both = data / "both"
    marked = evaluate_folder({"max": data / "max"}, both, both, metrics=METRICS, workers=1, **marks)
    assert marked.pictures == plain.pictures
    assert not marked.excluded
    assert np.array_equal(marked.scores, plain.scores)
    with pytest.raises(UserError, match="--ir-suffix"):
        evaluate_folder({"max": data / "max"}, both, both, metrics=METRICS)


def test_a_script_needs_no_guard(data: Path) -> None:
    """Workers do not run the calling script again, nor look for its file: here it comes from a pipe."""
    script = f"""
from cmmdl.evaluate import evaluate_folder
print("once")
result = evaluate_folder(
    {{"max": {str(data / "max")!r}}}, {str(data / "ir")!r}, {str(data / "vis")!r}, metrics=["EN"], workers=2
)
print(len(result.pictures))
"""
    done = subprocess.run([sys.executable, "-"], input=script, capture_output=True, text=True, timeout=200)
    assert (done.stdout, done.stderr) == ("once\n4\n", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"convention": "cdd"}, "convention"),
        ({"metrics": ["EN", "QX"]}, "QX"),
        ({"metrics": ["EN", "en"]}, "twice"),
        ({"baselines": ["min"]}, "baseline"),
        ({"baselines": ["max"]}, "twice"),
    ],
)
def test_wrong_names_are_refused_before_reading(options: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        evaluate_folder({"max": "nowhere"}, "nowhere", "nowhere", **options)  # type: ignore[arg-type]


def test_stretch_changes_the_fused_picture_only(data: Path) -> None:
    plain, stretched = (
        evaluate_folder({"m": data / "mean"}, data / "ir", data / "vis", metrics=["SD"], stretch=stretch, workers=1)
        for stretch in (False, True)
    )
    picture = cv2.imread(str(data / "mean" / "a.png"), cv2.IMREAD_GRAYSCALE).astype(float)
    low, high = picture.min(), picture.max()
    assert plain.scores[0, 0, 0] == pytest.approx(picture.std())
    assert stretched.scores[0, 0, 0] == pytest.approx(np.rint((picture - low) / (high - low) * 255).std())


def test_stretch_by_hand() -> None:
    assert stretch_levels(np.array([[10, 20, 30]], np.uint8)).tolist() == [[0, 128, 255]]
    assert stretch_levels(np.array([[7, 7]], np.uint8)).tolist() == [[7, 7]]


def test_deeper_pictures_become_levels() -> None:
    assert to_8_bits(np.array([[0, 257, 65535]], np.uint16)).tolist() == [[0, 1, 255]]
    assert to_8_bits(np.array([[0, 0.5, 1]], np.float32)).tolist() == [[0, 128, 255]]
    with pytest.raises(UserError, match=r"\[0, 1\]"):
        to_8_bits(np.array([[0, 200.0]], np.float32))


def test_three_files(data: Path) -> None:
    result = evaluate_files(
        {"m": data / "max" / "a.png"}, data / "ir" / "a.png", data / "vis" / "a.png", metrics=["EN"]
    )
    assert result.scores.shape == (1, 1, 1)
    with pytest.raises(UserError, match="there is no such file"):
        evaluate_files({"m": data / "max" / "z.png"}, data / "ir" / "a.png", data / "vis" / "a.png", metrics=["EN"])


def test_colour_is_scored_channel_by_channel_under_vifb(data: Path) -> None:
    fused = np.dstack([smooth(k) for k in (20, 21, 22)])
    cv2.imwrite(str(data / "fused.png"), fused[..., ::-1])
    result = evaluate_files(
        {"m": data / "fused.png"}, data / "ir" / "a.png", data / "vis" / "a.png", convention="vifb", metrics=["SD"]
    )
    assert result.scores[0, 0, 0] == pytest.approx(np.mean([fused[..., k].std() for k in range(3)]))


def test_the_commands_choices_are_those_of_the_library() -> None:
    assert list(CONVENTIONS) == CONVENTION_NAMES
    assert list(BASELINES) == BASELINE_NAMES


def test_command_lists_all_metrics() -> None:
    done = run("--list-metrics")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()[1:]
    assert [line.split()[0] for line in lines] == list(metrics.METRICS)
    (vif,) = (line for line in lines if line.startswith("VIF "))
    assert re.search(r"higher +0 .. inf +cmmdl,cddfuse,vfbench +Visual information fidelity +Sheikh, Bovik 2006", vif)


def test_command_on_three_folders_writes_everything(data: Path) -> None:
    outputs = [data / name for name in ("s.csv", "s.json", "s.md")]
    done = run(
        data / "max", data / "ir", data / "vis", "--metrics", "en,SD", "--workers", 1,
        "--csv", outputs[0], "--json", outputs[1], "--markdown", outputs[2],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "EN ↑" in done.stdout
    assert len(outputs[0].read_text().splitlines()) == 1 + 4 + 4
    assert list(json.loads(outputs[1].read_text())["methods"]) == ["max"]
    assert outputs[2].read_text().startswith("| method | EN ↑ | SD ↑ |")


def test_command_ranks_methods_baselines_and_board(data: Path) -> None:
    (data / "board.json").write_text('{"known": {"EN": 1.0, "SD": 1.0}}')
    done = run(
        data / "ir", data / "vis", "--method", f"ours={data / 'max'}", "--method", f"theirs={data / 'mean'}",
        "--baseline", "gff", "--board", data / "board.json", "--metrics", "EN,SD", "--workers", 1,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = [line.split()[0] for line in done.stdout.splitlines()[1:5]]
    assert rows == ["ours", "theirs", "gff", "known"]
    assert done.stdout.splitlines()[4].split()[-1] == "4.00"
    assert "Wilcoxon" in done.stdout


def test_command_scores_what_is_left_and_says_so(data: Path) -> None:
    (data / "max" / "b.png").unlink()
    done = run(data / "max", data / "ir", data / "vis", "--metrics", "EN", "--workers", 1, "--csv", data / "s.csv")
    assert done.exit_code == 3
    assert "1 excluded for all methods, 3 scored:" in done.stderr
    assert "b (max): there is no such file" in done.stderr
    assert (data / "s.csv").exists()


def test_command_on_files_and_its_plot(data: Path) -> None:
    pytest.importorskip("matplotlib")
    files = [data / folder / "a.png" for folder in ("max", "ir", "vis")]
    done = run(*files, "--metrics", "EN,SD,SF", "--baseline", "mean", "--plot", data / "p.png", "--plot-kind", "radar")
    assert done.exit_code == 0, done.output
    assert cv2.imread(str(data / "p.png")) is not None


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ir", "vis"], 2, "nothing to score"),
        (["ir"], 2, "give FUSED IR VIS"),
        (["ir", "vis", "--method", "max"], 2, "NAME=PATH"),
        (["max", "ir", "vis", "--method", "max=mean"], 2, "twice"),
        (["max", "ir", "nowhere"], 1, "error: nowhere: there is no such file or folder"),
        (["max/a.png", "ir", "vis"], 2, "is a file, others are folders"),
        (["max", "ir", "vis", "--metrics", "QX"], 2, "QX"),
        (["max", "ir", "vis", "--csv", "no/s.csv"], 1, "no folder"),
        (["max", "ir", "vis", "--plot", "p.gif"], 2, "suffix"),
        (["max", "ir", "vis", "--board", "none.json"], 1, "none.json"),
    ],
)
def test_command_refuses(
    data: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, message: str
) -> None:
    monkeypatch.chdir(data)
    done = run(*arguments)
    assert done.exit_code == code, done.output
    assert message in done.stderr


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals of a process group are POSIX")
def test_ctrl_c_ends_all_processes_quietly(data: Path) -> None:
    for k in range(150):
        for folder in ("ir", "vis", "max"):
            cv2.imwrite(str(data / folder / f"{k:03}.png"), smooth(k, 480, 640))
    command = [sys.executable, "-c", "from cmmdl.cli import main; main()", "evaluate"]
    folders = [str(data / folder) for folder in ("max", "ir", "vis")]
    process = subprocess.Popen(
        [*command, *folders, "--workers", "2", "--csv", str(data / "s.csv")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    time.sleep(12)
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.strip() == "Aborted!"
    assert not (data / "s.csv").exists()
    assert wait_for_end(process.pid), "some process of the group is still there"


def wait_for_end(group: int, seconds: float = 10) -> bool:
    """Whether all processes of a group are gone, and reaped, before time is up."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_the_benchmarks_published_values_over_four_folders(shared: Path) -> None:
    sample = shared / "data" / "vifb_sample"
    methods = {folder.name: folder for folder in sorted((sample / "fused").iterdir())}
    names = {"EN": "Entropy", "SD": "Variance", "AG": "Avg_gradient", "CE": "Cross_entropy"}
    result = evaluate_folder(methods, sample / "ir", sample / "vis", convention="vifb", metrics=list(names), workers=1)
    published = json.loads((sample / "values.json").read_text())
    expected = [
        [[published[scene][method][name] for name in names.values()] for scene in result.pictures]
        for method in result.methods
    ]
    np.testing.assert_allclose(result.scores, expected, rtol=1e-4)


def documented_commands() -> list[str]:
    """The lines of the shell blocks of docs/evaluate.md, continued lines joined."""
    text = (Path(__file__).resolve().parents[1] / "docs" / "evaluate.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", text, re.DOTALL)).replace("\\\n", " ")
    return [line for line in blocks.splitlines() if line.startswith("cmmdl evaluate")]


@pytest.mark.parametrize("line", documented_commands())
def test_documented_commands_run(data: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    monkeypatch.chdir(data)
    (data / "results").mkdir()
    (data / "max").rename("results/ours")
    (data / "mean").rename("results/theirs")
    for name, folder in (("fused", "results/ours"), ("ir", "ir"), ("vis", "vis")):
        (data / f"{name}.png").write_bytes((data / folder / "a.png").read_bytes())
    for folder, source, suffix in (
        ("pairs", "ir", "_ir"),
        ("pairs", "vis", "_vis"),
        ("named", "results/ours", "_ours"),
    ):
        (data / folder).mkdir(exist_ok=True)
        for stem in STEMS:
            (data / folder / f"{stem}{suffix}.png").write_bytes((data / source / f"{stem}.png").read_bytes())
    (data / "published.json").write_text('{"theirs2": {"EN": 6.5, "SD": 40.0, "MI": 2.0}}')
    done = run(*shlex.split(line)[2:])
    assert done.exit_code == 0, done.output


def test_documented_python_runs(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(data)
    (data / "results").mkdir()
    (data / "max").rename("results/ours")
    text = (Path(__file__).resolve().parents[1] / "docs" / "evaluate.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(block, "docs/evaluate.md", "exec"), {"__name__": "__main__"})
    assert (data / "table.md").read_text().startswith("| method | EN ↑ |")
