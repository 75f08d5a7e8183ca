"""``cmmdl train`` as a user types it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from cmmdl.cli import main
from training_helpers import environment, write_pairs

ROOT = Path(__file__).resolve().parents[1]
TINY = ["run.steps=2", "data.crop=48", "data.batch=2", "model.width=8", "model.blocks=1", "model.heads=2"]


def train(*words: object, tiny: bool = True) -> Result:
    sets = [word for text in [*TINY, "run.device=cpu"] for word in ("--set", text)] if tiny else []
    return CliRunner().invoke(main, ["train", *map(str, words), *sets])


def test_train_on_two_folders(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path, 2)
    folders = ["--ir", pairs / "ir", "--vis", pairs / "vis"]
    validation = ["--val-ir", pairs / "ir", "--val-vis", pairs / "vis"]
    result = train(*folders, *validation, "-o", tmp_path / "run")
    assert result.exit_code == 0, result.output
    assert f"{tmp_path / 'run' / 'last.safetensors'}: 2 steps" in result.output
    assert "EN " in result.output, "validation is told"
    assert (tmp_path / "run" / "best.safetensors").exists()
    again = train(*folders, *validation, "-o", tmp_path / "run")
    assert again.exit_code == 0, again.output
    tuned = train(*folders, "--init", tmp_path / "run" / "last.safetensors", "-o", tmp_path / "tuned")
    assert tuned.exit_code == 0, tuned.output


def test_folders_for_validation_are_taken_whole(tmp_path: Path) -> None:
    folders = ["--val-ir", "val/ir", "--val-vis", "val/vis"]
    config = ROOT / "configs" / "history" / "cmmdl-ivf-stage1.toml"
    given, changed = (
        json.loads(train(config, *words, "--show-config", tiny=False).stdout)["val"] for words in ([], folders)
    )
    assert given["only"], "the configuration names its own pictures"
    assert changed == given | {"ir": "val/ir", "vis": "val/vis", "only": None}


def test_show_config_prints_the_settings() -> None:
    result = train(ROOT / "configs" / "released.toml", "--set", "optim.lr=3e-4", "--show-config", tiny=False)
    shown = json.loads(result.stdout)
    assert shown["optim"]["lr"] == 3e-4
    assert shown["loss"]["terms"] == {"intensity": 1.0, "gradient": 5.0}
    assert shown["run"]["folder"] == "runs/released"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere.toml"], "nowhere.toml: No such file"),
        (["--ir", "a"], "--ir and --vis belong together"),
        (["--set", "optim.lrr=1"], "did you mean 'optim.lr'?"),
        ([], "nothing to train on"),
        (["--ir", "nowhere/ir", "--vis", "nowhere/vis"], "nowhere"),
    ],
)
def test_mistakes_are_one_line(words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = train(*words)
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert "Traceback" not in result.output


def test_without_the_extra_it_is_named() -> None:
    block = "import sys; sys.modules['pydantic'] = None; from cmmdl.cli import main; main(['train'])"
    result = subprocess.run(
        [sys.executable, "-c", block], env=environment(), text=True, capture_output=True, timeout=100
    )
    assert result.returncode == 1
    assert result.stderr.strip() == 'error: training needs pydantic: pip install "cmmdl[train]"'


def test_help_has_examples_and_does_not_import_torch() -> None:
    code = "import sys; from cmmdl.cli import main; main(['train', '--help'], standalone_mode=False)"
    result = subprocess.run(
        [sys.executable, "-c", code + "; print('torch' in sys.modules)"],
        env=environment(), text=True, capture_output=True, timeout=100,
    )  # fmt: skip
    assert "accelerate launch" in result.stdout
    assert result.stdout.strip().endswith("False")
