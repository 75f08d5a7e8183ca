"""Killed at any moment and started again, a run ends with the same bits; a signal saves and ends it."""

from __future__ import annotations

import hashlib
import signal
from pathlib import Path

import pytest
import torch

from cmmdl.training.checkpoint import checkpoint_path, newest_checkpoint
from training_helpers import finish_here, start, train_command, wait_for, write_pairs


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pairs(tmp_path_factory.mktemp("pairs"))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def same_state(a: object, b: object) -> bool:
    if isinstance(a, dict):
        assert isinstance(b, dict)
        return a.keys() == b.keys() and all(same_state(a[key], b[key]) for key in a)
    return torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b


def test_killed_and_resumed_is_bit_identical(pairs: Path, tmp_path: Path) -> None:
    options = ["run.steps=24", "loss.hold=5", "loss.blend=12", "optim.warmup=8", "run.log_every=5"]
    whole = finish_here(train_command(pairs, tmp_path / "whole", *options))
    assert whole.exit_code == 0, whole.stderr
    command = train_command(pairs, tmp_path / "killed", *options)
    process = start(command)
    wait_for(checkpoint_path(tmp_path / "killed", 6), process)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "killed" / "last.safetensors").exists()
    resumed = finish_here(command)
    assert resumed.exit_code == 0, resumed.stderr
    assert digest(tmp_path / "killed" / "last.safetensors") == digest(tmp_path / "whole" / "last.safetensors")
    states = [newest_checkpoint(tmp_path / name) for name in ("killed", "whole")]
    assert states[0]["step"] == 24
    assert all(same_state(states[0][part], states[1][part]) for part in ("model", "average", "optimizer"))
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("killed", "whole")]
    assert logs[0] == logs[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_ends_the_run(pairs: Path, tmp_path: Path, number: signal.Signals) -> None:
    command = train_command(pairs, tmp_path / "run", "run.steps=100000", "run.log_every=1", "run.save_every=1000")
    process = start(command)
    wait_for(tmp_path / "run" / "log.jsonl", process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    state = newest_checkpoint(tmp_path / "run")
    assert state["step"] > 0
    assert f"stopped after step {state['step']}; run the same command to continue" in errors
    assert "Traceback" not in errors


def test_other_settings_are_refused_unless_accepted(pairs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert finish_here(train_command(pairs, folder, "run.steps=2")).exit_code == 0
    refused = finish_here(train_command(pairs, folder, "run.steps=4", "optim.lr=1e-3", "run.log_every=1"))
    assert refused.exit_code == 1
    assert "started with different settings (optim.lr, run.steps)" in refused.stderr
    assert "Traceback" not in refused.stderr
    accepted = finish_here([*train_command(pairs, folder, "run.steps=4", "optim.lr=1e-3"), "--accept-changes"])
    assert accepted.exit_code == 0, accepted.stderr
    assert newest_checkpoint(folder)["step"] == 4
