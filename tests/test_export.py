"""Exported files: they compute what torch does, say what they are, and are refused where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from cmmdl import Fuser, UserError, __version__
from cmmdl.cli import main
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.models.fourier import Fourier
from cmmdl.models.rt import CMMDLRT, CMMDLRTConfig
from cmmdl.runtimes.export import Agreement, agreement, export_model, spectra
from cmmdl.scenes import synthetic_pair
from cmmdl.weights.saving import save_model

for package in ("onnx", "onnxscript", "onnxruntime"):
    pytest.importorskip(package, reason='needs pip install "cmmdl[export]"')


class Mean(nn.Module):
    def forward(self, ir: Tensor, vis: Tensor) -> Tensor:
        return (ir + vis) / 2


@pytest.fixture(scope="session")
def network() -> CMMDLRT:
    """A small real-time network that does something: its last layers start at zero."""
    torch.manual_seed(0)
    network = CMMDLRT(CMMDLRTConfig(width=4, depth=2, spectrum=4, border=8, black=2))
    for parameter in network.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    return network.eval()


@pytest.fixture(scope="session")
def weights(network: CMMDLRT, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_model(network, path)
    return path


@pytest.fixture(scope="session")
def onnx_file(weights: Path) -> Path:
    export_model(weights, weights.with_suffix(".onnx"))
    return weights.with_suffix(".onnx")


@pytest.fixture
def traced(onnx_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spares a test that exports ``weights`` again the tracing, which takes seconds."""
    monkeypatch.setattr("cmmdl.runtimes.export.model.to_onnx", lambda model, metadata: onnx_file.read_bytes())


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@pytest.mark.parametrize("size", [(1, 1), (7, 9), (61, 83), (48, 64)])
def test_any_size_agrees_with_torch(onnx_file: Path, network: CMMDLRT, backend: str, size: tuple[int, int]) -> None:
    pytest.importorskip(backend)
    ir, vis = synthetic_pair(*size, 3)
    expected = Fuser(network)(ir, vis, depth="float32")
    fused = Fuser(onnx_file, backend=backend, threads=1)(ir, vis, depth="float32")
    assert isinstance(fused, np.ndarray)
    assert fused.shape == (*size, 3)
    np.testing.assert_allclose(fused, expected, atol=1e-5)


def test_the_file_says_what_it_is(onnx_file: Path, weights: Path) -> None:
    import hashlib

    import onnx

    model = onnx.load(onnx_file)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert told["cmmdl.model"] == "tiny"
    assert told["cmmdl.version"] == __version__
    assert told["cmmdl.precision"] == "float32"
    assert told["cmmdl.weights"] == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert "0.299 R + 0.587 G + 0.114 B" in told["cmmdl.preprocessing"]
    assert {put.name for put in model.graph.input} == {"ir", "vis"}
    free = [dim.dim_param for dim in model.graph.input[0].type.tensor_type.shape.dim]
    assert free[0]
    assert free[2]
    assert free[3]
    assert b"site-packages" not in onnx_file.read_bytes()  # no traces of the computer that exported it
    assert list(onnx_file.parent.glob("*.onnx*")) == [onnx_file]  # one file


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.usefixtures("traced")
def test_smaller_numbers(onnx_file: Path, weights: Path, tmp_path: Path, precision: str) -> None:
    out = tmp_path / "small.onnx"
    found = export_model(weights, out, precision=precision)
    assert 0 < found.mean <= found.largest <= agreement.LIMITS[precision].largest
    ir, vis = synthetic_pair(61, 83, 5)
    fuser = Fuser(out, threads=1)
    assert fuser.backend.precision == precision
    small, exact = (np.asarray(f(ir, vis), float) for f in (fuser, Fuser(onnx_file, threads=1)))
    assert np.abs(small - exact).mean() < 3


@pytest.mark.usefixtures("traced")
def test_calibration_on_folders(weights: Path, tmp_path: Path) -> None:
    from cmmdl.files.images import write_image

    for side in ("ir", "vis", "other"):
        (tmp_path / side).mkdir()
    for number, size in enumerate(((40, 56), (64, 48), (40, 56))):  # of two sizes
        for side, picture in zip(("ir", "vis"), synthetic_pair(*size, number), strict=True):
            write_image(tmp_path / side / f"{number}.png", picture)
    write_image(tmp_path / "ir/3.png", synthetic_pair(40, 56, 3)[0])
    write_image(tmp_path / "vis/3.png", synthetic_pair(24, 56, 3)[1])  # not registered: left out
    out = tmp_path / "small.ONNX"
    export_model(weights, out, precision="int8", calibration=(tmp_path / "ir", tmp_path / "vis"))
    assert out.exists()
    with pytest.raises(UserError, match=r"other contains no pictures"):
        export_model(weights, out, precision="int8", calibration=(tmp_path / "ir", tmp_path / "other"))


@pytest.mark.usefixtures("traced")
def test_openvino_is_two_files(weights: Path, network: CMMDLRT, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    out = tmp_path / "model.xml"
    result = CliRunner().invoke(main, ["export", str(weights), "-o", str(out)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "model.xml and " in result.stdout
    assert "differs from torch at most" in result.stdout
    ir, vis = synthetic_pair(33, 47, 3)
    fuser = Fuser(out, threads=1)
    assert fuser.backend.name == "openvino"
    assert fuser.backend.signature.model == "tiny"
    np.testing.assert_allclose(fuser(ir, vis), Fuser(network)(ir, vis), atol=1)
    out.with_suffix(".bin").unlink()
    with pytest.raises(UserError, match=r"model\.bin are not beside it"):
        Fuser(out)


def test_a_file_that_differs_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(agreement.LIMITS, "float32", Agreement(-1.0, -1.0))
    with pytest.raises(UserError, match=r"differs from torch at most .*not kept"):
        export_model(Mean(), tmp_path / "mean.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mean", "-o", "{}/mean.pt"], r"ends in \.onnx"),
        (["mean", "-o", "{}/mean.onnx", "--format", "openvino"], r"ends in \.xml"),
        (["mean", "-o", "{}/none/mean.onnx"], "no folder"),
        (["mean", "-o", "{}/mean.onnx", "--precision", "int8"], "int8 is for cmmdl-rt and cmmdl-mif-rt"),
        (["no-such-model", "-o", "{}/mean.onnx"], "no-such-model"),
        (["mean", "-o", "{}/there.onnx"], "--overwrite"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: list[str], words: str) -> None:
    import re

    (tmp_path / "there.onnx").touch()
    result = CliRunner().invoke(main, ["export", *(text.format(tmp_path) for text in arguments)])
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("error: ")
    assert re.search(words, result.stderr)
    assert [path.name for path in tmp_path.iterdir()] == ["there.onnx"]


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (8, 8), (15, 22), (31, 17)])
def test_matrix_transforms_are_the_networks_own(size: tuple[int, int]) -> None:
    x, y = torch.rand(2, 2, 3, *size, generator=torch.Generator().manual_seed(1))
    ours, matrices = Fourier(), spectra.MatrixFourier()
    half = x[..., : size[1] // 2 + 1], 6 * y[..., : size[1] // 2 + 1] - 3
    with torch.no_grad():
        torch.testing.assert_close(matrices.convolve(x, y), ours.convolve(x, y), atol=1e-4, rtol=1e-5)
        torch.testing.assert_close(matrices.picture(*half, size), ours.picture(*half, size), atol=1e-6, rtol=1e-5)
    real, imaginary = spectra.forward(x, spectra.Waves.of(*size))
    torch.testing.assert_close(torch.complex(real, imaginary), torch.fft.rfft2(x), atol=1e-4, rtol=1e-5)


def test_angles_near_the_cut() -> None:
    """Own conjugates of a negative value have the phase +pi, as torch gives it of a real number."""
    real = torch.tensor([-2.0, -2.0, -2.0, 2.0, 0.0, 0.0, 1e-8, -1.0])
    imaginary = torch.tensor([0.0, 1e-7, -1e-7, 0.0, 3.0, -3.0, 1e-8, 1.0])
    got = spectra.angle(real, imaginary)
    torch.testing.assert_close(got, torch.atan2(imaginary, real))
    assert spectra.angle(torch.zeros(1), torch.zeros(1)) == 0
    phases = spectra.MatrixFourier().polar(-torch.ones(1, 1, 4, 5))[1]
    assert phases[0, 0, 0, 0] == torch.tensor(torch.pi)


def test_an_export_leaves_the_network_as_it_is() -> None:
    network = CMMDL(CMMDLConfig(width=8, blocks=1, heads=2)).eval()
    copy = spectra.with_matrices(network)
    assert isinstance(copy.fdlb.fourier, spectra.MatrixFourier)
    assert isinstance(copy.decoder.blocks[0].sfca.fourier, spectra.MatrixFourier)
    assert type(network.fdlb.fourier) is type(network.encoder.blocks[0].sfca.fourier) is Fourier
    ir, vis = torch.rand(2, 1, 1, 12, 15)
    torch.testing.assert_close(copy(ir, vis), network(ir, vis), atol=1e-4, rtol=0)


def test_the_full_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = CMMDL(CMMDLConfig(width=8, blocks=1, heads=2, border=8)).eval()
    found = export_model(network, tmp_path / "full.onnx")
    assert found.largest < 1e-4
    fuser = Fuser(tmp_path / "full.onnx", threads=1)
    for size in ((1, 1), (5, 4), (33, 50)):
        ir, vis = synthetic_pair(*size, 4)
        np.testing.assert_allclose(fuser(ir, vis, depth="float32"), Fuser(network)(ir, vis, depth="float32"), atol=1e-3)


@pytest.mark.slow
def test_the_trained_full_network(tmp_path: Path) -> None:
    found = export_model("cmmdl-ivf", tmp_path / "full.onnx")
    assert found.largest <= 5e-3
    assert found.mean <= 2e-4
