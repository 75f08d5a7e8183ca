"""Settings: defaults, files, overrides, and one clear line for every mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from cmmdl.errors import UserError
from cmmdl.training.config import TrainConfig, changed_keys
from cmmdl.training.configfile import load_config

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").rglob("*.toml"))


def write(folder: Path, text: str, name: str = "mine.toml") -> Path:
    file = folder / name
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_shipped_configurations_are_valid(file: Path) -> None:
    config = load_config(file)
    assert config.run.folder == Path("runs") / file.stem


def test_the_released_recipe_is_what_was_released() -> None:
    config = load_config(next(file for file in CONFIGS if file.stem == "released"))
    assert config.loss.terms == {"intensity": 1.0, "gradient": 5.0}
    assert (config.optim.algorithm, config.optim.lr, config.optim.schedule) == ("adam", 1e-4, "halving")
    assert (config.data.crop, config.data.batch, config.run.seed) == (128, 8, 42)
    assert not config.data.flip
    assert not config.data.rotate
    assert config.model.width == 64


def test_defaults_file_tables_and_overrides_lie_over_each_other(tmp_path: Path) -> None:
    file = write(tmp_path, "[optim]\nlr = 1e-3\nwarmup = 7\n[data]\ncrop = 64\n")
    config = load_config(file, ["optim.lr=3e-4", "loss.terms.mi=0.5", "run.init=name"], data={"batch": 2})
    assert (config.optim.lr, config.optim.warmup) == (3e-4, 7)
    assert (config.data.crop, config.data.batch) == (64, 2)
    assert config.loss.terms == {**TrainConfig().loss.terms, "mi": 0.5}, "one weight changes, the others stay"
    assert config.run.init == "name"
    assert config.run.folder == Path("runs/mine")


def test_an_override_can_replace_a_whole_table() -> None:
    assert load_config(None, ["loss.terms={intensity=1, gradient=5}"]).loss.terms == {"intensity": 1, "gradient": 5}
    sources = load_config(None, ['data.sources=[{ir="a", vis="b", weight=2}]']).data.sources
    assert (sources[0].ir, sources[0].weight) == (Path("a"), 2.0)


def test_an_override_can_name_the_other_network() -> None:
    config = load_config(None, ["model.architecture=cmmdl-rt", "model.depth=3"])
    assert config.model.model_dump() == {
        "architecture": "cmmdl-rt",
        "width": 32,
        "depth": 3,
        "spectrum": 32,
        "border": 0,
        "black": 0,
    }
    with pytest.raises(UserError, match=r"no setting 'model\.blocks'"):
        load_config(None, ["model.architecture=cmmdl-rt", "model.blocks=2"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lrate=1", "no setting 'optim.lrate'; did you mean 'optim.lr'?"),
        ("lr=1", "no setting 'lr'; did you mean 'optim.lr'?"),
        ("optim.schedul=cosine", "did you mean 'optim.schedule'?"),
        ("model.widht=8", "did you mean 'model.width'?"),
        ("loss.terms.quabf=1", "no term 'quabf'; did you mean 'qabf'?"),
        ("optim.schedule=cosin", "optim.schedule = 'cosin'"),
        ("optim.lr=fast", "optim.lr = 'fast'"),
        ("optim.lr=-1", "optim.lr = -1"),
        ("data.batch=1", "data.batch = 1"),
        ("loss.mi_bins=3", "loss.mi_bins = 3"),
        ("data.scale=[2, 1]", "scale must be a range"),
        ("data.crop=32", "data.crop must be at least 41"),
        ("loss.targets.brightness=1.5", "brightness must be from 0 to 1, not 1.5"),
        ("data.sources=[{ir='a', vis='b', factors={vif=-1}}]", "factors.vif = -1"),
        ("data.sources=[{ir='a', vis='b', factors={viff=1}}]", "no term 'viff'; did you mean 'vif'?"),
        ("loss.margin=50", "data.crop must be at least 141"),
        ("loss.terms.taught=1", "name the weights to learn from, loss.teacher"),
        ("loss.teacher=mean", "loss.teacher is set: give loss.terms a weight on taught"),
        ("optim.lr", "write section.key=value"),
        ("optim.lr.x=1", "'lr' is not a table"),
        ("=3", "write section.key=value"),
    ],
)
def test_mistakes_are_one_line_that_names_the_key(override: str, message: str) -> None:
    with pytest.raises(UserError) as caught:
        load_config(None, [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.toml: No such file"):
        load_config(tmp_path / "nowhere.toml")
    with pytest.raises(UserError, match=r"mine\.toml: not a TOML file"):
        load_config(write(tmp_path, "[optim\n"))
    with pytest.raises(UserError, match=r"mine\.toml: no setting 'optin'; did you mean 'optim'"):
        load_config(write(tmp_path, "[optin]\nlr = 1\n"))
    with pytest.raises(UserError, match=r"mine\.toml: run = 3"):
        load_config(write(tmp_path, "run = 3\n"))


def test_what_touches_the_weights_counts_as_a_change() -> None:
    old = load_config(None)
    new = load_config(None, ["run.log_every=1", "val.every=7", "data.workers=2", "run.threads=1"])
    assert changed_keys(old, new) == []
    new = load_config(None, ["optim.lr=1e-5", "loss.terms.mi=2", "run.log_every=1"])
    assert changed_keys(old, new) == ["loss.terms.mi", "optim.lr"]


class TestBase:
    """``base = "other.toml"``: say only what differs."""

    def test_tables_merge_and_lists_and_scalars_replace(self, tmp_path: Path) -> None:
        sources = "[[data.sources]]\nir = 'a'\nvis = 'b'\n[[data.sources]]\nir = 'c'\nvis = 'd'\n"
        write(
            tmp_path, f"{sources}[loss]\nterms = {{ mi = 1.0, sf = 2.0 }}\n[run]\nsteps = 9\nseed = 3\n", "first.toml"
        )
        write(tmp_path, "base = '../first.toml'\n[optim]\nlr = 1e-3\nbetas = [0.5, 0.6]\n", "below/second.toml")
        file = write(
            tmp_path,
            "base = 'below/second.toml'\n[[data.sources]]\nir = 'e'\nvis = 'f'\n"
            "[loss.terms]\nsf = 0.5\nen = 0\n[optim]\nbetas = [0.7, 0.8]\n[run]\nsteps = 11\n",
        )
        config = load_config(file, ["run.init=name"])
        assert [str(source.ir) for source in config.data.sources] == ["e"], "a list is replaced"
        assert config.loss.terms == {"mi": 1.0, "sf": 0.5, "en": 0.0}, "a table is merged"
        assert (config.optim.lr, config.optim.betas) == (1e-3, (0.7, 0.8))
        assert (config.run.steps, config.run.seed, config.run.init) == (11, 3, "name")

    def test_the_run_folder_is_not_that_of_the_base(self, tmp_path: Path) -> None:
        write(tmp_path, "[run]\nfolder = 'runs/first'\n", "first.toml")
        file = write(tmp_path, "base = 'first.toml'\n")
        assert load_config(file).run.folder == Path("runs/mine")
        write(tmp_path, "base = 'first.toml'\n[run]\nfolder = 'here'\n")
        assert load_config(file).run.folder == Path("here")

    def test_each_others_base_is_refused(self, tmp_path: Path) -> None:
        write(tmp_path, "base = 'other.toml'\n")
        file = write(tmp_path, "base = 'mine.toml'\n", "other.toml")
        with pytest.raises(UserError, match=r"name each other as base \(other\.toml -> mine\.toml -> other\.toml\)"):
            load_config(file)
        with pytest.raises(UserError, match="name each other as base"):
            load_config(write(tmp_path, "base = 'self.toml'\n", "self.toml"))

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("base = 'nowhere.toml'", r"mine\.toml: base = 'nowhere\.toml': there is no file"),
            ("base = 3", r"base = 3 is not a path"),
            ("base = ['a.toml']", "is not a path"),
            ("base = 'bad.toml'", r"bad\.toml: not a TOML file"),
            ("base = 'wrong.toml'", "no setting 'optim.lrr'; did you mean 'optim.lr'"),
            ("[run]\nbase = 'wrong.toml'", "no setting 'run.base'"),
        ],
    )
    def test_mistakes_are_named(self, tmp_path: Path, text: str, message: str) -> None:
        write(tmp_path, "[", "bad.toml")
        write(tmp_path, "[optim]\nlrr = 1\n", "wrong.toml")
        with pytest.raises(UserError, match=message):
            load_config(write(tmp_path, text + "\n"))

    def test_what_came_out_counts_as_a_change(self, tmp_path: Path) -> None:
        write(tmp_path, "[optim]\nlr = 1e-3\n", "first.toml")
        file = write(tmp_path, "base = 'first.toml'\n[run]\nseed = 4\n")
        saved = load_config(file)
        write(tmp_path, "[optim]\nlr = 1e-3\n[run]\nseed = 4\nfolder = 'runs/mine'\n", "alone.toml")
        assert changed_keys(saved, load_config(tmp_path / "alone.toml")) == [], "how it is written does not count"
        write(tmp_path, "[optim]\nlr = 2e-3\n", "first.toml")
        assert changed_keys(saved, load_config(file)) == ["optim.lr"]


def test_a_device_has_a_name(tmp_path: Path) -> None:
    assert load_config(None, ["run.device=cuda:1"]).run.device == "cuda:1"
    with pytest.raises(UserError, match=r"run\.device = 'gpu': 'gpu' is not a device; write auto, cpu, cuda, cuda:1"):
        load_config(None, ["run.device=gpu"])
