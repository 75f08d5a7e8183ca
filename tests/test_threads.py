"""One fuser in many threads and processes: bit for bit what one thread gives, on every runtime."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from cmmdl import Fuser

BACKENDS = ["torch", "onnxruntime", "openvino"]


def fused(fuser: Fuser, seed: int) -> np.ndarray:
    """The result of a pair of its own, of one of two sizes."""
    random, size = np.random.default_rng(seed), (32, 48) if seed % 2 else (40, 32)
    return np.asarray(fuser(*random.integers(0, 256, (2, *size), dtype=np.uint8)))


@pytest.fixture(scope="module", params=BACKENDS)
def fuser(request: pytest.FixtureRequest) -> Fuser:
    if request.param != "torch":
        pytest.importorskip(request.param)
    return Fuser("cmmdl-rt", backend=request.param, threads=1)


@pytest.fixture(scope="module")
def alone(fuser: Fuser) -> list[np.ndarray]:
    """What one thread gives."""
    return [fused(fuser, seed) for seed in range(20)]


def test_four_threads_give_what_one_gives(fuser: Fuser, alone: list[np.ndarray]) -> None:
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda seed: fused(fuser, seed % 20), range(80)))
    assert [np.array_equal(one, alone[n % 20]) for n, one in enumerate(together)] == [True] * 80


def test_a_fuser_survives_pickling(fuser: Fuser, alone: list[np.ndarray]) -> None:
    copy = pickle.loads(pickle.dumps(fuser))
    assert (copy.backend.name, copy.tile, copy.stretch) == (fuser.backend.name, fuser.tile, fuser.stretch)
    for seed in range(4):
        np.testing.assert_array_equal(fused(copy, seed), alone[seed])


def test_spawned_processes_give_the_same(fuser: Fuser, alone: list[np.ndarray]) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        results = list(pool.map(fused, [fuser] * 3, range(3)))
    for one, expected in zip(results, alone, strict=False):
        np.testing.assert_array_equal(one, expected)


FORKED: list[Fuser] = []


def fused_by_a_child(seed: int) -> Any:
    return fused(FORKED[0], seed)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="this system does not fork")
def test_forked_processes_give_the_same(fuser: Fuser, alone: list[np.ndarray]) -> None:
    FORKED[:] = [fuser]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        results = pool.map_async(fused_by_a_child, range(8)).get(60)
    for one, expected in zip(results, alone, strict=False):
        np.testing.assert_array_equal(one, expected)
