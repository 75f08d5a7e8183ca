"""What the shipped weights make of drawn scenes, on every runtime, against pictures that are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cmmdl import Fuser

sys.path.append(str(Path(__file__).parent / "golden"))
from rewrite import FULL, FUSED, MODELS, SCENES, golden_file, scene


def check(model: str, name: str, fused: np.ndarray) -> None:
    """Within a grey level; of full ones, where phases flip between runtimes, on 99.9 % and within three elsewhere."""
    golden = np.asarray(Image.open(golden_file(model, name)))
    assert fused.shape == golden.shape
    assert fused.dtype == np.uint8
    difference = np.abs(fused.astype(int) - golden)
    if model in FULL:
        assert np.mean(difference <= 1) >= 0.999
        assert difference.max() <= 3
    else:
        assert difference.max() <= 1


@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("backend", ["torch", "onnxruntime", "openvino"])
def test_results_are_those_that_are_kept(backend: str, model: str, name: str) -> None:
    if backend != "torch":
        pytest.importorskip(backend)
        if model in FULL:
            pytest.skip("has to be exported first: see the slow test below")
    check(model, name, np.asarray(Fuser(model, backend=backend, threads=1)(*scene(name))))  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=FULL)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A trained full network's name, and the network as an ONNX file."""
    pytest.importorskip("onnxscript")
    from cmmdl.runtimes.export import export_model

    file = tmp_path_factory.mktemp("golden") / "full.onnx"
    export_model(request.param, file)
    return request.param, file


@pytest.mark.slow
@pytest.mark.parametrize("name", SCENES)
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_the_exported_full_networks_too(exported: tuple[str, Path], backend: str, name: str) -> None:
    pytest.importorskip(backend)
    model, file = exported
    check(model, name, np.asarray(Fuser(file, backend=backend, threads=1)(*scene(name))))  # type: ignore[arg-type]


def test_every_picture_that_is_kept_belongs_to_a_model() -> None:
    assert sorted(FUSED.iterdir()) == sorted(golden_file(model, name) for model in MODELS for name in SCENES)


def test_another_network_would_be_seen() -> None:
    """The pictures of two models differ by far more than the tolerance."""
    pictures = [np.asarray(Image.open(golden_file(model, "grey"))).astype(int) for model in MODELS]
    assert min(np.abs(pictures[0] - other).max() for other in pictures[1:]) > 10
