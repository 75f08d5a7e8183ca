"""Which runtime runs what, files that are not ours, and fusing where torch cannot be imported."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cmmdl import Fuser, UserError
from cmmdl.files.images import read_image, write_image
from cmmdl.runtimes import choice
from cmmdl.runtimes.choice import choose_backend
from cmmdl.scenes import synthetic_pair
from cmmdl.weights.resolving import Named

onnx = pytest.importorskip("onnx", reason='needs pip install "cmmdl[export]"')
pytest.importorskip("onnxruntime", reason='needs pip install "cmmdl[onnx]"')


def foreign(path: Path, *, names: tuple[str, str] = ("ir", "vis"), shape: Any = ("b", 1, "h", "w")) -> Path:
    """The mean of two pictures, written without this package."""
    make = onnx.helper
    inputs = [make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in names]
    output = make.make_tensor_value_info("out", onnx.TensorProto.FLOAT, shape)
    node = make.make_node("Mean", list(names), ["out"])
    model = make.make_model(make.make_graph([node], "g", inputs, [output]), opset_imports=[make.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.save(model, path)
    return path


@pytest.fixture
def mean(tmp_path: Path) -> Path:
    return foreign(tmp_path / "mean.onnx")


@pytest.mark.parametrize("backend", ["auto", "onnxruntime", "openvino"])
def test_a_foreign_file_works(mean: Path, backend: str) -> None:
    pytest.importorskip("openvino")
    ir, vis = synthetic_pair(30, 41, 1)
    fuser = Fuser(mean, backend=backend, threads=1)
    assert fuser.backend.name == ("onnxruntime" if backend == "auto" else backend)
    assert fuser.model is None
    np.testing.assert_allclose(fuser(ir, vis), Fuser("mean")(ir, vis), atol=1)
    tensor = torch.from_numpy(vis).permute(2, 0, 1)
    fused = fuser(torch.from_numpy(ir), tensor)  # the same kind comes back
    assert isinstance(fused, torch.Tensor)
    np.testing.assert_array_equal(fused.permute(1, 2, 0), fuser(ir, vis))
    batch = torch.rand(3, 1, 20, 30)
    torch.testing.assert_close(fuser(batch, batch), batch)


def test_tiles_are_made_on_any_runtime(mean: Path) -> None:
    ir, vis = synthetic_pair(150, 200, 1)
    np.testing.assert_allclose(Fuser(mean, tile=64, threads=1)(ir, vis), Fuser(mean, threads=1)(ir, vis), atol=1)


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_files_that_do_not_fit_are_refused(tmp_path: Path, backend: str) -> None:
    pytest.importorskip(backend)
    (tmp_path / "text.onnx").write_text("no network")
    wrong = {
        "text.onnx": "not a network that",
        "none.onnx": "no such file",
        foreign(tmp_path / "names.onnx", names=("a", "b")).name: "two float inputs ir and vis",
        foreign(tmp_path / "flat.onnx", shape=("h", "w")).name: r"\(B, 1, H, W\) is needed",
    }
    for name, words in wrong.items():
        with pytest.raises(UserError, match=words):
            Fuser(tmp_path / name, backend=backend)
    fixed = Fuser(foreign(tmp_path / "fixed.onnx", shape=(1, 1, 8, 9)), backend=backend, threads=1)
    np.testing.assert_array_equal(fixed(np.full((8, 9), 7, np.uint8), np.full((8, 9), 9, np.uint8)), np.full((8, 9), 8))
    with pytest.raises(UserError, match=r"takes only 9x8.*not 8x8"):
        fixed(np.zeros((8, 8), np.uint8), np.zeros((8, 8), np.uint8))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"backend": "tensorrt"}, "'tensorrt'.*onnxruntime"),
        ({"backend": "torch"}, "torch cannot run an exported file"),
        ({"device": "cuda"}, "runs on the CPU"),
        ({"precision": "float64"}, "has no precision float64"),
        ({"threads": 0}, "at least 1, not 0"),
        ({"model": torch.nn.Identity(), "backend": "onnxruntime"}, "export it"),
    ],
)
def test_what_does_not_go_together_is_named(mean: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Fuser(**{"model": mean, **options})


@pytest.mark.parametrize("package", ["onnxruntime", "openvino"])
def test_a_missing_runtime_names_its_extra(mean: Path, monkeypatch: pytest.MonkeyPatch, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    extra = {"onnxruntime": "onnx", "openvino": "openvino"}[package]
    with pytest.raises(UserError, match=rf'pip install "cmmdl\[{extra}\]"'):
        Fuser(mean, backend=package)


def test_auto(monkeypatch: pytest.MonkeyPatch, mean: Path, tmp_path: Path) -> None:
    there = {"onnxruntime", "openvino", "torch"}
    monkeypatch.setattr(choice, "installed", lambda name: name in there)
    monkeypatch.setattr(choice, "_has_gpu", lambda: False)
    assert choose_backend(torch.nn.Identity()) == choose_backend("mean") == "torch"
    assert choose_backend("cmmdl-ivf") == choose_backend("cmmdl-mif") == "torch"
    assert choose_backend("cmmdl-rt") == choose_backend("cmmdl-mif-rt") == "openvino"
    assert choose_backend("model.xml") == "openvino"
    assert choose_backend("model.onnx") == "onnxruntime"
    monkeypatch.setattr(Named, "exported", mean)  # as of a model that ships as an ONNX file
    assert choose_backend("mean") == "openvino"
    assert choose_backend("mean", device="cuda") == choose_backend("mean", precision="bfloat16") == "torch"
    there.discard("openvino")
    assert choose_backend("mean") == choose_backend("mean", device="cpu") == "onnxruntime"
    there.discard("onnxruntime")
    assert choose_backend("mean") == "torch"
    assert choose_backend("model.onnx") == "openvino"  # whose absence then names the extra
    monkeypatch.setattr(choice, "_has_gpu", lambda: True)
    there.add("openvino")
    assert choose_backend("mean") == "torch"


def test_a_name_is_exported_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("cmmdl.runtimes.export.cache.user_cache_path", lambda *_, **__: tmp_path / "cmmdl")
    pytest.importorskip("onnxscript")
    notes = list[str]()
    ir, vis = synthetic_pair(21, 30, 1)
    for _ in range(2):
        fused = Fuser("max", backend="onnxruntime", threads=1, note=notes.append)(ir, vis)
        np.testing.assert_allclose(fused, Fuser("max")(ir, vis), atol=1)
    assert len(notes) == 1
    assert "max is exported once" in notes[0]
    assert len(list(tmp_path.rglob("max-*.onnx"))) == 1


WITHOUT_TORCH = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "safetensors", "onnx"):
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
"""


def without_torch(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT_TORCH + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_the_library_fuses_without_torch(mean: Path, tmp_path: Path) -> None:
    ir, vis = synthetic_pair(30, 41, 1)
    write_image(tmp_path / "ir.png", ir)
    write_image(tmp_path / "vis.png", vis)
    code = (
        "import numpy as np\nfrom PIL import Image\nfrom cmmdl import Fuser, available_models\n"
        "folder = sys.argv[1]\nfuser = Fuser(folder + '/mean.onnx', threads=1)\n"
        "fused = fuser(folder + '/ir.png', folder + '/vis.png')\n"
        "again = fuser(np.asarray(Image.open(folder + '/ir.png')), Image.open(folder + '/vis.png'))\n"
        "assert (np.asarray(again) == fused).all() and again.size == (41, 30)\n"
        "small = fuser(np.asarray(Image.open(folder + '/ir.png'))[:15, :20], fused, resize_ir=True)\n"
        "assert small.shape == (30, 41, 3) and len(available_models()) > 8\n"
        "np.save(folder + '/fused.npy', fused)\nassert 'torch' not in sys.modules\n"
    )
    result = without_torch(code, tmp_path)
    assert result.returncode == 0, result.stderr
    np.testing.assert_allclose(np.load(tmp_path / "fused.npy"), Fuser("mean")(ir, vis), atol=1)


def test_the_command_fuses_without_torch(mean: Path, tmp_path: Path) -> None:
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
    for number in range(5):
        for side, picture in zip(("ir", "vis"), synthetic_pair(30, 41, number), strict=True):
            write_image(tmp_path / side / f"{number}.png", picture)
    code = "from cmmdl.cli import main\nmain(sys.argv[1:], standalone_mode=False)\nassert 'torch' not in sys.modules"
    model = ["--model", mean, "--threads", 1]
    pair = [tmp_path / "ir/0.png", tmp_path / "vis/0.png"]
    result = without_torch(code, "fuse", *pair, "-o", tmp_path / "one.png", *model)
    assert result.returncode == 0, result.stderr
    assert "ONNX Runtime" in result.stdout
    (tmp_path / "ir/3.png").write_text("no picture")
    result = without_torch(code, "fuse", tmp_path / "ir", tmp_path / "vis", "-o", tmp_path / "out", *model)
    assert result.returncode == 3
    assert "1 failed:\n  3: " in result.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.png", "1.png", "2.png", "4.png"]
    np.testing.assert_array_equal(read_image(tmp_path / "out/0.png"), read_image(tmp_path / "one.png"))
    result = without_torch("from cmmdl.cli import main\nmain(sys.argv[1:])", "fuse", *pair, "-o", tmp_path / "t.png")
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    assert "torch is not installed" in result.stderr


def test_what_was_exported_before_needs_no_torch(mean: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nimport cmmdl.runtimes.export.cache as cache\n"
        "from cmmdl.weights.cards import weights_hash\n"
        "cache.user_cache_path = lambda *a, **k: Path(sys.argv[1])\n"
        "folder = Path(sys.argv[1]) / 'exported'\nfolder.mkdir()\n"
        'path = folder / f\'mean-{weights_hash("mean")[:16]}-{cache.version("cmmdl")}.onnx\'\n'
        "path.write_bytes(Path(sys.argv[2]).read_bytes())\n"
        "from cmmdl import Fuser\n"
        "assert Fuser('mean', backend='onnxruntime', threads=1).backend.name == 'onnxruntime'\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path), str(mean)], check=True)
