"""What training follows: the network's gradients against the plain network's, and against arrays that are kept."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from cmmdl.models.cmmdl import CMMDL
from cmmdl.weights.released import from_released
from released_weights import released_state

sys.path.append(str(Path(__file__).parent / "golden"))
from gradients import FILE, gradients, plain_network


@pytest.fixture(scope="module")
def model() -> CMMDL:
    return from_released(released_state())[0].double().eval()


@pytest.fixture(scope="module")
def ours(model: CMMDL) -> dict[str, np.ndarray]:
    return gradients(model)


def test_gradients_are_those_of_the_plain_network(model: CMMDL, ours: dict[str, np.ndarray]) -> None:
    plain = gradients(plain_network(model.state_dict()))
    assert ours.keys() == plain.keys()
    for name, expected in plain.items():
        assert np.linalg.norm(ours[name] - expected) <= 1e-7 * np.linalg.norm(expected), name


def test_gradients_are_those_that_are_kept(ours: dict[str, np.ndarray]) -> None:
    kept = dict(np.load(FILE))
    for side in ("ir", "vis"):
        np.testing.assert_allclose(ours[side], kept[side], rtol=1e-5, atol=1e-7 * np.abs(kept[side]).max())
    lengths = dict(zip(kept["names"].tolist(), kept["lengths"].tolist(), strict=True))
    assert {name: pytest.approx(length, rel=1e-5) for name, length in lengths.items()} == {
        name: float(np.linalg.norm(grad)) for name, grad in ours.items() if name not in ("ir", "vis")
    }
