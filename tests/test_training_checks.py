"""What is refused at the start, saved at the end, and said about memory and time."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from cmmdl.cli import main
from cmmdl.cli.train import small
from cmmdl.errors import UserError
from cmmdl.files.images import write_image
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.scenes import synthetic_pair
from cmmdl.training import estimate, loop
from cmmdl.training.checkpoint import newest_checkpoint
from cmmdl.training.checkpointing import recompute_blocks
from cmmdl.training.config import TrainConfig
from cmmdl.training.configfile import load_config
from test_training_processes import free_port
from training_helpers import TINY_MODEL, finish, tiny_config, train_command, write_pairs


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    return write_pairs(tmp_path / "pairs")


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("optim.betas=[1.5, 0.9]", r"optim.*betas must both be at least 0 and below 1, not \[1\.5, 0\.9\]"),
        ("optim.betas=[0.9, 1.0]", "betas must both"),
        ("optim.betas=[-0.1, 0.9]", "betas must both"),
        ("val.crop=20", "val.*crop must be 0 or at least 41"),
    ],
)
def test_settings_that_would_die_later(setting: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        load_config(None, [setting])
    assert load_config(None, ["val.crop=41", "optim.betas=[0.0, 0.99]"]).val.crop == 41


def test_pictures_too_small_to_score_are_refused_at_the_start(pairs: Path, tmp_path: Path) -> None:
    for side, picture in zip(("ir", "vis"), synthetic_pair(40, 80, 9), strict=True):
        (tmp_path / "val" / side).mkdir(parents=True)
        write_image(tmp_path / "val" / side / "low.png", picture)
    val = {"ir": tmp_path / "val/ir", "vis": tmp_path / "val/vis"}
    with pytest.raises(UserError, match=r"low\.png: 80x40 is too small to score, VIF needs 41"):
        loop.Training(tiny_config(tmp_path / "run", pairs, val=val))


def test_another_network_is_one_line_whatever_is_accepted(pairs: Path, tmp_path: Path) -> None:
    loop.train(tiny_config(tmp_path / "run", pairs, "run.steps=2"))
    wider = tiny_config(tmp_path / "run", pairs, "run.steps=4", "model.width=16")
    with pytest.raises(UserError, match=r"its weights belong to another network \(model\.width\)"):
        loop.train(wider, accept_changes=True)
    settings = {
        **tiny_config(tmp_path / "run", pairs, "run.steps=4").model_dump(),
        "model": {"architecture": "cmmdl-rt"},
    }
    other = TrainConfig.model_validate(settings)
    with pytest.raises(UserError, match=r"another network \(model\.architecture"):
        loop.train(other, accept_changes=True)


def test_files_that_were_added_are_seen(pairs: Path, tmp_path: Path) -> None:
    loop.train(tiny_config(tmp_path / "run", pairs, "run.steps=4", "run.stop_after=2"))
    for side, picture in zip(("ir", "vis"), synthetic_pair(72, 80, 8), strict=True):
        write_image(pairs / side / "scene9.png", picture)
    config = tiny_config(tmp_path / "run", pairs, "run.steps=4")
    with pytest.raises(UserError, match=r"begun with other pairs in source 1: .* --accept-changes"):
        loop.train(config)
    assert loop.train(config, accept_changes=True).finished


def test_an_edited_list_is_seen(pairs: Path, tmp_path: Path) -> None:
    stems = tmp_path / "held-out.txt"
    stems.write_text("scene0\n")
    source = {"ir": pairs / "ir", "vis": pairs / "vis", "leave_out": stems}
    settings = {"sources": [source], "crop": 48, "batch": 4}
    loop.train(tiny_config(tmp_path / "run", pairs, "run.steps=4", "run.stop_after=2", data=settings))
    stems.write_text("scene1\n")
    with pytest.raises(UserError, match="begun with other pairs in source 1"):
        loop.train(tiny_config(tmp_path / "run", pairs, "run.steps=4", data=settings))


def test_a_damaged_log_is_mended(pairs: Path, tmp_path: Path) -> None:
    loop.train(tiny_config(tmp_path / "run", pairs, "run.steps=4", "run.stop_after=2"))
    log = tmp_path / "run/log.jsonl"
    whole = log.read_bytes()
    log.write_bytes(whole + b'{"step": 2, "ki\n[]\n{"step": "two"}\n{}\n\xff\xfe}\n' + whole[:-5])
    assert loop.train(tiny_config(tmp_path / "run", pairs, "run.steps=4")).finished
    assert log.read_bytes().startswith(whole)
    assert log.read_text().count("\n") == 2


@pytest.mark.parametrize("error", [UserError("the disk is full"), RuntimeError("no such kernel")])
def test_steps_are_saved_whatever_stops_the_run(
    pairs: Path, tmp_path: Path, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: loop.Training, journal: object) -> None:
        raise error

    monkeypatch.setattr(loop.Training, "validate", fails)
    config = tiny_config(tmp_path / "run", pairs, "run.save_every=100", "val.every=3")
    with pytest.raises(type(error), match=str(error)):
        loop.train(config)
    saved = newest_checkpoint(tmp_path / "run")
    assert saved is not None
    assert saved["step"] == 3


def test_recomputed_blocks_give_the_same_gradient_and_copies() -> None:
    torch.manual_seed(0)
    plain = CMMDL(CMMDLConfig(**TINY_MODEL)).double().train()
    network = copy.deepcopy(plain)
    recompute_blocks(network)
    ir, vis = torch.rand(2, 2, 1, 24, 20, dtype=torch.float64)
    for one in (plain, network):
        (one(ir, vis) - vis).abs().mean().backward()
    for (name, one), (other, two) in zip(plain.named_parameters(), network.named_parameters(), strict=True):
        assert name == other
        assert torch.allclose(one.grad, two.grad, rtol=1e-9, atol=1e-14), name
    assert torch.equal(network.eval()(ir, vis), plain.eval()(ir, vis))
    twin = copy.deepcopy(network).train()
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert not torch.equal(twin(ir, vis), network.train()(ir, vis))


def test_a_run_with_checkpointing(pairs: Path, tmp_path: Path) -> None:
    for name, setting in (("one", "false"), ("two", "true")):
        loop.train(tiny_config(tmp_path / name, pairs, "run.steps=2", f"run.checkpointing={setting}"))
    one, two = (newest_checkpoint(tmp_path / name) for name in ("one", "two"))
    assert one is not None
    assert two is not None
    for name, value in one["model"].items():
        assert torch.allclose(value, two["model"][name], rtol=1e-3, atol=1e-5), name


def test_memory_goes_with_network_batch_and_crop() -> None:
    full = load_config(None)
    assert 15 < estimate.expected_bytes(full) / 2**30 < 21
    less = load_config(None, ["run.checkpointing=true"])
    assert estimate.expected_bytes(less) < 0.6 * estimate.expected_bytes(full)
    assert estimate.expected_bytes(load_config(None, ["data.batch=4"])) < 0.6 * estimate.expected_bytes(full)
    laptop = load_config(None, model={"architecture": "cmmdl-rt"})
    assert estimate.expected_bytes(laptop) < 2**30


def test_memory_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(estimate, "available_bytes", lambda device: 8 * 2**30)
    note = estimate.memory_note(load_config(None), torch.device("cpu"), 1)
    assert "only 8.0 GiB are free on cpu: lower data.batch" in note
    assert "only" not in estimate.memory_note(load_config(None), torch.device("cpu"), 4)


def test_hours_are_measured_in_the_first_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 106.0])  # after the first step, after the fourth
    monkeypatch.setattr(estimate.time, "monotonic", lambda: next(clock))
    pace = estimate.Pace(3604, torch.device("cpu"))
    said = [pace.step() for _ in range(6)]
    assert [bool(text) for text in said] == [False, False, False, True, False, False]
    assert said[3].startswith("2 s a step, about 2.0 h for the 3600 steps to come")
    assert "GiB" in said[3]


@pytest.mark.parametrize(("seconds", "words"), [(40, "about 40 s"), (1500, "about 25 min"), (12600, "about 3.5 h")])
def test_times_in_words(seconds: float, words: str) -> None:
    assert estimate.in_words(seconds) == words


def test_without_a_configuration_a_laptop_is_enough(tmp_path: Path) -> None:
    given = {"run": {}, "data": {}, "val": {}}
    assert small(given, ())["model"] == {"architecture": "cmmdl-rt"}
    assert small(given, ())["run"] == {"steps": 5000}
    assert small(given, ("model.width=8",))["model"] == {}
    assert small({**given, "run": {"init": "cmmdl-ivf"}}, ())["model"] == {}
    shown = CliRunner().invoke(main, ["train", "--show-config"]).stdout
    assert '"architecture": "cmmdl-rt"' in shown
    assert '"steps": 5000' in shown
    (tmp_path / "own.toml").write_text("[optim]\nlr = 1e-4\n")
    given = CliRunner().invoke(main, ["train", str(tmp_path / "own.toml"), "--show-config"]).stdout
    assert '"architecture": "cmmdl"' in given


@pytest.mark.slow
def test_the_main_process_failing_alone_stops_the_others(pairs: Path, tmp_path: Path) -> None:
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"]
    (tmp_path / "file").write_text("no folder")
    done = finish([*launch, *train_command(pairs, tmp_path / "file", "run.steps=2")])
    assert done.returncode != 0
    assert "cannot be created" in done.stderr
