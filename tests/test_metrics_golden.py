"""Against the values of the reference evaluators, of the VIFB benchmark and of a direct version."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from cmmdl.files.images import read_image
from cmmdl.metrics import score

ROOT = Path(__file__).parents[1]
GOLDEN = ROOT / "tests" / "golden"
VALUES: dict[str, dict[str, float]] = json.loads((GOLDEN / "metrics_values.json").read_text())
PUBLISHED = {
    "AG": "Avg_gradient",
    "CE": "Cross_entropy",
    "EI": "Edge_intensity",
    "EN": "Entropy",
    "MI": "Mutinf",
    "PSNR": "Psnr",
    "Qabf": "Qabf",
    "QCB": "Qcb",
    "QCV": "Qcv",
    "RMSE": "Rmse",
    "SD": "Variance",
    "SF": "Spatial_frequency",
    "SSIM": "Ssim",
}


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "metrics_images.npz"))


@pytest.mark.parametrize("convention", ["cmmdl", "cddfuse"])
@pytest.mark.parametrize("key", VALUES)
def test_reference_evaluators(key: str, convention: str, pictures: dict[str, np.ndarray]) -> None:
    index = key.split("_")[1]
    ours = score(pictures[f"fused_{key}"], pictures[f"ir_{index}"], pictures[f"vis_{index}"], convention=convention)
    theirs = {name: value for name, value in VALUES[key].items() if name != "SSIM_cddfuse"}
    if convention == "cddfuse":
        theirs["SSIM"] = VALUES[key]["SSIM_cddfuse"]
    assert ours.keys() == theirs.keys()
    finite = {name for name, value in theirs.items() if math.isfinite(value)}
    assert theirs.keys() - finite == ({"SCD"} if key.startswith("visible") else set())
    for name in finite:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-6), name


@pytest.mark.parametrize("index", [0, 1, 2])
def test_scd_where_the_reference_has_nan(index: int, pictures: dict[str, np.ndarray]) -> None:
    """The fused picture is the visible one: r(ir, 0) counts as 0, and r(vis, vis - ir) remains."""
    ir, vis = (pictures[f"{name}_{index}"].astype(float).ravel() for name in ("ir", "vis"))
    ours = score(*(pictures[f"{name}_{index}"] for name in ("vis", "ir", "vis")), metrics=["SCD"])
    assert ours["SCD"] == pytest.approx(np.corrcoef(vis, vis - ir)[0, 1], rel=1e-10)


def test_every_published_digit_of_the_vifb_sample(shared: Path) -> None:
    folder = shared / "data" / "vifb_sample"
    values = json.loads((folder / "values.json").read_text())
    compared = 0
    for stem, methods in values.items():
        ir, vis = (read_image(folder / source / f"{stem}.jpg") for source in ("ir", "vis"))
        for method, published in methods.items():
            (path,) = (folder / "fused" / method).glob(f"{stem}.*")
            ours = score(read_image(path), ir, vis, convention="vifb")
            assert ours.keys() == PUBLISHED.keys()
            for name, theirs in PUBLISHED.items():
                assert ours[name] == pytest.approx(published[theirs], rel=1e-4), (stem, method, name)
                assert float(f"{ours[name]:.5g}") == published[theirs], (stem, method, name)
                compared += 1
    assert compared == 156


@pytest.fixture(scope="module")
def speed() -> ModuleType:
    """The benchmark, for the direct version that it carries."""
    pytest.importorskip("skimage")
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("metrics_speed", ROOT / "benchmarks" / "metrics_speed.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("size", [(41, 41), (64, 97), (110, 75)])
def test_direct_scipy_version(size: tuple[int, int], speed: ModuleType) -> None:
    for seed in (0, 1):
        three = speed.pictures(*size, seed)
        assert score(*three) == pytest.approx(speed.direct(*three), rel=1e-10)
