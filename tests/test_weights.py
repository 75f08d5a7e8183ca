"""Weight files: names, round trips, the authors' format, and what is no weight file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import random
import warnings
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import save_file

from cmmdl.cli import main
from cmmdl.errors import UserError
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.models.networks import build
from cmmdl.weights.averaging import average_models
from cmmdl.weights.cards import TRAINED, available_models
from cmmdl.weights.loading import load_model, read_header
from cmmdl.weights.released import from_released, read_released, rename_released_key
from cmmdl.weights.saving import save_model
from released_weights import released_state

TINY = CMMDLConfig(width=8, blocks=1, heads=2, coupling="invertible")


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(1, 1, 10, 12, generator=generator), torch.rand(1, 1, 10, 12, generator=generator)


def test_every_named_model_loads_and_fuses() -> None:
    names = [card.name for card in available_models()]
    assert names[0] == "cmmdl-ivf"
    assert {"mean", "max", "laplacian"} <= set(names)
    for card in available_models():
        with torch.inference_mode():
            fused = load_model(card.name)(*pair())
        assert fused.shape == (1, 1, 10, 12), card.name
        assert 0 <= fused.min() <= fused.max() <= 1, card.name
        assert card.licence, card.name
        assert card.description, card.name


def test_weights_in_the_box_have_the_hash_of_their_card() -> None:
    for card in available_models():
        if card.file:
            data = (TRAINED / card.file).read_bytes()
            assert hashlib.sha256(data).hexdigest() == card.sha256
            assert card.trained_on
            assert card.scores


def test_saved_network_comes_back_with_its_configuration(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, path = CMMDL(TINY).eval(), tmp_path / "tiny.safetensors"
    digest = save_model(model, path, {"note": "seed 0"})
    again = load_model(path)
    assert again.config == TINY
    assert not again.training
    assert digest == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_header(path)["note"] == "seed 0"
    torch.testing.assert_close(again(*pair()), model(*pair()), rtol=0, atol=0)


def test_average_is_the_weighted_mean_of_every_parameter(tmp_path: Path) -> None:
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        models.append(CMMDL(TINY).eval())
        save_model(models[-1], tmp_path / f"{seed}.safetensors")
    files, out = [str(tmp_path / f"{seed}.safetensors") for seed in (1, 2)], tmp_path / "mean.safetensors"
    shares = ["--share", "0.75", "--share", "0.25"]
    result = CliRunner().invoke(main, ["average", *files, "-o", str(out), *shares])
    assert result.exit_code == 0, result.output
    mean, (one, two) = load_model(out).state_dict(), (model.state_dict() for model in models)
    assert mean.keys() == one.keys()
    for name, value in mean.items():
        torch.testing.assert_close(
            value, 0.75 * one[name] + 0.25 * two[name] if value.is_floating_point() else one[name]
        )
    assert read_header(out)["average"] == f"0.75 {tmp_path.name}/1.safetensors, 0.25 {tmp_path.name}/2.safetensors"
    again = CliRunner().invoke(main, ["average", files[0], files[0], "-o", str(out)])
    assert again.exit_code == 1
    assert "pass --overwrite" in again.output
    assert CliRunner().invoke(main, ["average", files[0], files[0], "-o", str(out), "--overwrite"]).exit_code == 0
    assert all(torch.equal(value, one[name]) for name, value in load_model(out).state_dict().items())


def test_what_no_parameter_depends_on_may_differ_in_an_average() -> None:
    one, two = (CMMDL(CMMDLConfig(width=8, blocks=1, heads=2, black=black)) for black in (2, 0))
    assert average_models([one, two], [0.5, 0.5]).config == one.config
    with pytest.raises(UserError, match="one architecture and configuration"):
        average_models([one, CMMDL(CMMDLConfig(width=8, blocks=2, heads=2))], [0.5, 0.5])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cmmdl-ivf", "cmmdl-rt"], "one architecture and configuration"),
        (["mean", "max"], "has no weights to average"),
        (["cmmdl-rt", "cmmdl-mif-rt"], "one architecture and configuration"),
        (["cmmdl-rt", "cmmdl-rt", "--share", "1"], "2 weights and 1 --share"),
        (["cmmdl-rt", "cmmdl-rt", "--share", "0.5", "--share", "0.6"], "add up to 1"),
        (["cmmdl-rt", "nowhere.safetensors"], "nowhere.safetensors"),
    ],
)
def test_what_cannot_be_averaged_is_told(words: list[str], message: str, tmp_path: Path) -> None:
    out = tmp_path / "mean.safetensors"
    result = CliRunner().invoke(main, ["average", *words, "-o", str(out)])
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("error: ")
    assert message in result.stderr
    assert not out.exists()


def test_all_keys_of_the_released_checkpoint_are_accounted_for() -> None:
    state = released_state()
    model, dropped = from_released(state)
    assert len(state) == 390
    assert len(dropped) == 86
    assert all(any(part in key for part in ("q1X1_", "norm_VI", "Sobel", "Identity")) for key in dropped)
    renamed = {rename_released_key(key) for key in state} - {None}
    assert renamed == set(model.state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop("module.MDLB.FSI.SA.conv1.weight"), "missing: hdffb.spatial.weight"),
        (lambda s: s.update({"module.extra.weight": torch.zeros(1)}), "unknown: extra.weight"),
        (lambda s: s.update({"module.extra.Identity.weight": torch.zeros(1)}), "unknown: extra.Identity.weight"),
        (lambda s: s.update({k.removeprefix("module."): v for k, v in s.items()}), "twice"),
        (lambda s: s["module.MDLB.FSI.SA.conv1.weight"].fill_(float("nan")), "hdffb.spatial.weight contains NaN"),
        (
            lambda s: s.update({"module.MDLB.FSI.SA.conv1.weight": torch.zeros(1, 2, 5, 5)}),
            "hdffb.spatial.weight has shape",
        ),
    ],
)
def test_a_checkpoint_that_is_not_the_released_network_is_refused(change: object, message: str) -> None:
    state = released_state()
    change(state)
    with pytest.raises(UserError, match=message):
        from_released(state)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("prefix", [False, True])
def test_convert_writes_the_same_network(tmp_path: Path, wrapped: bool, prefix: bool) -> None:
    state = {key if prefix else key.removeprefix("module."): value for key, value in released_state().items()}
    source, target = tmp_path / "authors.pth", tmp_path / "model.safetensors"
    torch.save({"state_dict": state} if wrapped else state, source)
    result = CliRunner().invoke(main, ["convert", str(source), "-o", str(target)])
    assert result.exit_code == 0, result.output
    assert "1,142,722 parameters" in result.output
    assert "dropped 86 entries that the released program never uses: q1X1_1, q1X1_2, norm_VI, Sobel" in result.output
    with torch.inference_mode():
        torch.testing.assert_close(load_model(target)(*pair()), from_released(released_state())[0](*pair()))


class Bomb:
    """What an unpickler would run."""

    def __reduce__(self) -> tuple:
        return (print, ("code was run",))


def test_convert_runs_no_code_and_names_the_file(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    bad = {"bomb.pth": {"weight": Bomb()}, "tensor.pth": torch.zeros(3)}
    for name, content in bad.items():
        torch.save(content, tmp_path / name)
    (tmp_path / "text.pth").write_text("not a checkpoint")
    (tmp_path / "empty.pth").write_bytes(b"")
    for name in [*bad, "text.pth", "empty.pth", "absent.pth"]:
        result = CliRunner().invoke(main, ["convert", str(tmp_path / name), "-o", str(tmp_path / "x.safetensors")])
        assert result.exit_code == 1, name
        assert result.output.startswith("error: "), result.output
        assert name in result.output
        assert result.output.count("\n") == 1, result.output
        assert "code was run" not in capsys.readouterr().out
    assert not (tmp_path / "x.safetensors").exists()


def test_what_is_no_model_is_refused_with_a_remedy(tmp_path: Path) -> None:
    torch.save(released_state(), tmp_path / "authors.pth")
    (tmp_path / "text.safetensors").write_text("hello")
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    for name, message in [
        ("cmmdl-ivff", "the models are cmmdl-ivf"),
        (tmp_path / "authors.pth", "cmmdl convert"),
        (tmp_path / "text.safetensors", "not a safetensors file"),
        (tmp_path / "other.safetensors", "does not hold the weights of a CMMDL network"),
    ]:
        with pytest.raises(UserError, match=message):
            load_model(name)


def test_damaged_weights_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    save_model(CMMDL(TINY), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(UserError, match=r"tiny\.safetensors"):
        load_model(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_damaged_checkpoints_never_end_in_a_traceback(tmp_path: Path, legacy: bool) -> None:
    """400 mutations of each format of torch: bytes changed, and every fifth one cut."""
    state = {f"module.share_Encoder.patch_embed.{n}.weight": torch.ones(3, 4) for n in range(6)}
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=not legacy)
    refused = 0
    for seed in range(400):
        rng, data = random.Random(seed), bytearray(buffer.getvalue())
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        (tmp_path / "a.pth").write_bytes(data[: rng.randrange(len(data))] if seed % 5 == 0 else data)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                read = read_released(tmp_path / "a.pth")
            except UserError:
                refused += 1
            else:
                assert all(isinstance(rename_released_key(key), str | None) for key in read)
    assert refused > 200


@pytest.mark.parametrize(
    "state",
    [
        {1: torch.ones(2)},
        {"a": torch.ones(2).to_sparse()},
        {"a": torch.ones(2, dtype=torch.complex64)},
        {"a": torch.empty(2, device="meta")},
        {"a": "text"},
        [torch.ones(2)],
        {"state_dict": {"a": None}},
    ],
)
def test_what_is_no_plain_state_dict(tmp_path: Path, state: object) -> None:
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(UserError, match=r"a\.pth: (does not hold a state dict of tensors|not a checkpoint)"):
        read_released(tmp_path / "a.pth")


def test_damaged_weights_never_end_in_a_traceback(tmp_path: Path) -> None:
    save_model(build("cmmdl-rt", {"width": 4, "spectrum": 4}), tmp_path / "whole.safetensors", {})
    whole = (tmp_path / "whole.safetensors").read_bytes()
    for seed in range(200):
        rng, data = random.Random(seed), bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(400)] = rng.randrange(256)
        (tmp_path / "a.safetensors").write_bytes(data)
        with contextlib.suppress(UserError):
            load_model(tmp_path / "a.safetensors")
