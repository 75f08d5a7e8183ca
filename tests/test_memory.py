"""What a pixel is taken to need of memory: little in bands on a CPU, more as a whole."""

from __future__ import annotations

import pytest
import torch

from cmmdl.models.baselines import MeanFusion
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.runtimes.pytorch import TorchBackend, bytes_per_pixel

TINY = CMMDLConfig(width=8, blocks=1, heads=2)


@pytest.mark.parametrize(
    ("model", "device", "maps"),
    [
        (CMMDL(TINY), "cpu", 9),
        (CMMDL(TINY), "cuda", 20),
        (torch.nn.Conv2d(1, 1, 1), "cpu", 20),
        (MeanFusion(), "cpu", 1),
    ],
)
def test_maps_of_64_channels(model: torch.nn.Module, device: str, maps: int) -> None:
    assert bytes_per_pixel(model, torch.device(device)) == 64 * 4 * maps


def test_double_precision_needs_twice_as_much() -> None:
    assert TorchBackend(CMMDL(TINY), device="cpu", precision="float64").bytes_per_pixel == 2 * 64 * 4 * 9


def test_a_module_may_say_what_it_needs() -> None:
    model = torch.nn.Conv2d(1, 1, 1)
    model.bytes_per_pixel = 1000
    assert bytes_per_pixel(model, torch.device("cpu")) == 1000
