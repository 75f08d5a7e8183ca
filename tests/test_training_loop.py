"""The loop in one process: what it leaves behind, fine-tuning, validation, and stopping at what is not finite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cmmdl.errors import UserError
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.training import loop, losses
from cmmdl.training import step as one_step
from cmmdl.training.checkpoint import newest_checkpoint, save_checkpoint
from cmmdl.training.data import Crops
from cmmdl.training.setup import build_network, mixed_precision
from cmmdl.training.validation import total, validation_pairs
from cmmdl.weights.loading import load_model, read_header
from cmmdl.weights.saving import save_model
from training_helpers import tiny_config, write_pairs


@pytest.fixture(scope="module", autouse=True)
def threads_as_before() -> Iterator[None]:
    """Runs with one thread must not leave the other tests with one."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(scope="module")
def finished(pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, loop.TrainingOutcome]:
    folder = tmp_path_factory.mktemp("runs") / "one"
    val = {"ir": pairs / "ir", "vis": pairs / "vis", "every": 3, "pairs": 2}
    return folder, loop.train(tiny_config(folder, pairs, "run.samples_every=6", val=val))


def test_a_run_leaves_checkpoints_weights_and_logs(finished: tuple[Path, loop.TrainingOutcome]) -> None:
    folder, outcome = finished
    assert (outcome.step, outcome.finished, outcome.signal) == (6, True, 0)
    assert sorted(path.name for path in folder.glob("*.pt")) == ["checkpoint-00000004.pt", "checkpoint-00000006.pt"]
    model = load_model(outcome.weights)
    average = newest_checkpoint(folder)["average"]
    assert all(torch.equal(value, average[name]) for name, value in model.state_dict().items())
    training = json.loads(read_header(outcome.weights)["training"])
    assert training["data"]["crop"] == 48
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in entries if entry["kind"] == "train"] == [2, 4, 6]
    assert {"loss", "ssim", "lr", "gradient_norm", "corr_ir", "corr_vis"} <= entries[0].keys()
    board = EventAccumulator(str(folder)).Reload()
    assert {"train/loss", "val/SCD", "val/corr_vis"} <= set(board.Tags()["scalars"])
    assert board.Tags()["images"] == ["sample/0", "sample/1"]


def test_validation_keeps_the_best(finished: tuple[Path, loop.TrainingOutcome]) -> None:
    folder, _ = finished
    entries = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    scores = {entry["step"]: entry["total"] for entry in entries if entry["kind"] == "val"}
    assert set(scores) == {3, 6}
    best = read_header(folder / "best.safetensors")
    assert int(best["step"]) == max(scores, key=scores.__getitem__)
    assert json.loads(best["scores"])["total"] == pytest.approx(max(scores.values()), abs=1e-3)
    assert newest_checkpoint(folder)["best"] == pytest.approx(max(scores.values()), rel=1e-5)


def test_the_total_is_a_mean_in_spreads() -> None:
    base = {"EN": 7.0, "SD": 40.0, "SF": 13.0, "MI": 2.0, "SCD": 1.6, "VIF": 0.7, "Qabf": 0.5, "SSIM": 1.3}
    assert total({**base, "Qabf": 0.58}) - total(base) == pytest.approx(1 / 8)
    assert total({**base, "SD": 41 * np.exp(0.2) - 1}) - total(base) == pytest.approx(1 / 8)


def test_an_average_of_zero_decay_is_the_model(pairs: Path, tmp_path: Path) -> None:
    loop.train(tiny_config(tmp_path / "run", pairs, "optim.ema=0", "run.steps=2"))
    state = newest_checkpoint(tmp_path / "run")
    assert all(torch.equal(state["model"][name], value) for name, value in state["average"].items())


def test_the_loss_falls(pairs: Path, tmp_path: Path) -> None:
    sets = ["run.steps=30", "optim.lr=3e-3", "loss.terms={intensity=10, gradient_signed=5}", "run.save_every=30"]
    loop.train(tiny_config(tmp_path / "run", pairs, *sets))
    entries = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    losses = [entry["loss"] for entry in entries]
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:3])
    assert entries[-1]["corr_vis"] > 0, "no photographic negative"


def test_stopping_on_the_way_changes_nothing(pairs: Path, tmp_path: Path) -> None:
    whole = loop.train(tiny_config(tmp_path / "whole", pairs))
    part = loop.train(tiny_config(tmp_path / "part", pairs, "run.stop_after=3"))
    assert (part.step, part.finished) == (3, True)
    rest = loop.train(tiny_config(tmp_path / "part", pairs))
    assert (rest.step, rest.finished) == (6, True)
    states = [load_model(outcome.weights).state_dict() for outcome in (whole, rest)]
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())


def test_validation_takes_the_pairs_of_a_list(pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("scene2\nscene0\n", encoding="utf-8")
    val = {"ir": pairs / "ir", "vis": pairs / "vis", "only": tmp_path / "list.txt", "pairs": 8}
    chosen = validation_pairs(tiny_config(tmp_path, pairs, val=val).val)
    assert [pair.name for pair in chosen] == ["scene0", "scene2"]


def test_init_takes_weights_and_their_configuration(pairs: Path, tmp_path: Path) -> None:
    model = CMMDL(CMMDLConfig(width=8, blocks=1, heads=4, sdlb=False))
    save_model(model, tmp_path / "start.safetensors")
    config = tiny_config(tmp_path / "run", pairs, f"run.init={tmp_path / 'start.safetensors'}", "run.steps=1")
    config, network = build_network(config, None)
    assert (config.model.heads, config.model.sdlb) == (4, False)
    assert all(torch.equal(network.state_dict()[name], value) for name, value in model.state_dict().items())
    outcome = loop.train(config)
    assert load_model(outcome.weights).config.sdlb is False
    again = loop.train(config)
    assert again.step == 1, "the finished run is found again, with the same settings"


def test_the_border_may_differ_from_that_of_the_initial_weights(pairs: Path, tmp_path: Path) -> None:
    save_model(CMMDL(CMMDLConfig(width=8, blocks=1, heads=2)), tmp_path / "start.safetensors")
    settings = [f"run.init={tmp_path / 'start.safetensors'}", "run.steps=1"]
    loop.train(tiny_config(tmp_path / "run", pairs, *settings, "model.border=2"))
    loop.train(tiny_config(tmp_path / "run", pairs, *settings, "model.border=3"))  # a finished run, found again
    loop.train(tiny_config(tmp_path / "next", pairs, f"run.init={tmp_path / 'run/last.safetensors'}", "run.steps=1"))
    for run in ("run", "next"):
        assert load_model(tmp_path / run / "last.safetensors").config.border == 3
    small = ["run.init=cmmdl-rt", "model.border=3"]
    with pytest.raises(UserError, match=r"model\.border must be a multiple of 8"):
        loop.train(tiny_config(tmp_path / "small", pairs, *small))
    loop.train(tiny_config(tmp_path / "small", pairs, small[0], "run.steps=1"))
    with pytest.raises(UserError, match=r"model\.border must be a multiple of 8"):
        loop.train(tiny_config(tmp_path / "small", pairs, *small, "run.steps=1"))


def test_black_may_differ_from_that_of_the_initial_weights_and_of_old_checkpoints(pairs: Path, tmp_path: Path) -> None:
    save_model(CMMDL(CMMDLConfig(width=8, blocks=1, heads=2, border=4)), tmp_path / "start.safetensors")
    settings = [f"run.init={tmp_path / 'start.safetensors'}", "run.steps=2"]
    loop.train(tiny_config(tmp_path / "run", pairs, *settings, "run.stop_after=1"))
    checkpoint = tmp_path / "run" / "checkpoint-00000001.pt"
    saved = torch.load(checkpoint, weights_only=True)
    del saved["config"]["model"]["black"]  # as runs wrote it before there was the setting
    torch.save(saved, checkpoint)
    loop.train(tiny_config(tmp_path / "run", pairs, *settings, "model.black=2"))
    config = load_model(tmp_path / "run" / "last.safetensors").config
    assert (config.black, config.border) == (2, 4)


def test_a_student_comes_near_its_teacher_and_resumes(pairs: Path, tmp_path: Path) -> None:
    small = "model={architecture = 'cmmdl-rt', width = 8, spectrum = 8}"
    settings = [small, "loss.teacher=max", "loss.terms={taught = 100.0}", "run.log_every=1", "run.steps=30"]
    config = tiny_config(tmp_path / "whole", pairs, *settings)
    whole = loop.train(config)
    lines = [json.loads(line) for line in (tmp_path / "whole" / "log.jsonl").read_text().splitlines()]
    distances = [line["taught"] for line in lines if line["kind"] == "train"]
    crops = Crops(config.data, config.run.seed)
    ir, vis = (torch.stack([crops[n][side] for n in range(config.data.batch)]) for side in ("ir", "vis"))
    begun = losses.taught((ir + vis) / 2, torch.maximum(ir, vis)).mean()  # the small network begins with the mean
    assert distances[0] == pytest.approx(float(begun), rel=1e-4)
    assert max(distances[-5:]) < 0.5 * distances[0]
    assert [line["loss"] for line in lines if line["kind"] == "train"] == pytest.approx(
        [100 * d for d in distances], rel=1e-4
    )
    halves = tmp_path / "halves"
    loop.train(tiny_config(halves, pairs, *settings, "run.stop_after=11"))
    assert loop.train(tiny_config(halves, pairs, *settings)).weights.read_bytes() == whole.weights.read_bytes()
    with pytest.raises(UserError, match="nobody"):
        loop.train(tiny_config(tmp_path / "other", pairs, "loss.teacher=nobody", "loss.terms.taught=1"))


@pytest.mark.parametrize(("init", "message"), [("mean", "only weights of a CMMDL network"), ("nothing", "nothing")])
def test_init_refuses_what_cannot_be_trained(pairs: Path, tmp_path: Path, init: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        loop.train(tiny_config(tmp_path / "run", pairs, f"run.init={init}"))


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_what_is_not_finite_stops_the_run_and_names_the_crop(
    pairs: Path, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, calls = one_step.fusion_loss, []

    def poisoned(fused, ir, vis, weights, **options):
        losses, terms = genuine(fused, ir, vis, weights, **options)
        calls.append(losses)
        if len(calls) == 4:
            wrong = torch.zeros_like(losses)
            wrong[2] = float("nan") if what == "loss" else 0.0
            losses = losses + wrong if what == "loss" else losses + (fused - fused.detach()).sqrt().flatten(1).mean(1)
        return losses, terms

    monkeypatch.setattr(one_step, "fusion_loss", poisoned)
    config = tiny_config(tmp_path / "run", pairs)
    with pytest.raises(UserError, match=f"step 3: the {what} is not finite") as caught:
        loop.train(config)
    names = [loop.Crops(config.data, config.run.seed)[3 * 4 + n]["name"] for n in range(4)]
    named = [name in str(caught.value) for name in names]
    assert named == ([False, False, True, False] if what == "loss" else [True] * 4)
    assert "\n" not in str(caught.value)
    state = newest_checkpoint(tmp_path / "run")
    assert state["step"] == 2
    assert all(value.isfinite().all() for value in state["model"].values())


def test_parameters_that_cannot_matter_stay(pairs: Path, tmp_path: Path) -> None:
    training = loop.Training(tiny_config(tmp_path / "run", pairs))
    frozen = {name for name, value in training.network.named_parameters() if not value.requires_grad}
    assert len(frozen) == 2 + 4 + 4
    state = {name: value.clone() for name, value in training.network.state_dict().items()}
    image = torch.rand(2, 1, 32, 32)
    before = training.network(image, image.flip(3))
    for name in frozen:
        state[name] += torch.randn_like(state[name])
    training.network.load_state_dict(state)
    after = training.network(image, image.flip(3))
    assert torch.allclose(before, after, atol=2e-4), "batch norm takes these biases out again"


@pytest.mark.parametrize("workers", [0, 1])
def test_a_picture_that_goes_bad_while_training_is_named(
    tmp_path: Path, workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = write_pairs(tmp_path, 1)
    ready = loop.StopSignal

    def spoil() -> loop.StopSignal:
        (pairs / "ir" / "scene0.png").write_bytes(b"gone")
        return ready()

    monkeypatch.setattr(loop, "StopSignal", spoil)
    with pytest.raises(UserError, match=r"^.*scene0\.png is not a PNG") as caught:
        loop.train(tiny_config(tmp_path / "run", pairs, "data.memory_mb=0", f"data.workers={workers}"))
    assert "\n" not in str(caught.value)


def test_a_damaged_checkpoint_is_passed_over(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, {"step": step}, keep=2)
    newest = tmp_path / "checkpoint-00000003.pt"
    newest.write_bytes(newest.read_bytes()[:200])
    assert newest_checkpoint(tmp_path)["step"] == 2
    (tmp_path / "checkpoint-00000002.pt").write_bytes(b"")
    with pytest.raises(UserError, match="none of its checkpoints can be read"):
        newest_checkpoint(tmp_path)


def test_settings_that_cannot_work_are_refused(pairs: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nothing to train on: give --ir DIR --vis DIR"):
        loop.train(tiny_config(tmp_path, pairs, "data.sources=[]"))
    with pytest.raises(UserError, match="needs both folders"):
        validation_pairs(tiny_config(tmp_path, pairs, val={"ir": pairs / "ir"}).val)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be created"):
        loop.train(tiny_config(tmp_path / "file" / "run", pairs))


def test_bfloat16_only_where_there_are_instructions(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert mixed_precision(tiny_config(tmp_path, pairs)) == "no", "off on CPUs unless asked for"
    wanted = tiny_config(tmp_path, pairs, "run.precision=bf16")
    monkeypatch.setattr("cmmdl.training.setup.cpu_has_bf16", lambda: True)
    assert mixed_precision(wanted) == "bf16"
    monkeypatch.setattr("cmmdl.training.setup.cpu_has_bf16", lambda: False)
    with pytest.raises(UserError, match="no bfloat16 instructions"):
        mixed_precision(wanted)
