"""A step of training as work for one device: nothing waits for it, nothing strays from it; recorded as it is plain."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from cmmdl import metrics
from cmmdl.metrics import windows
from cmmdl.models.baselines import BASELINES
from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.models.rt import CMMDLRT, CMMDLRTConfig
from cmmdl.training import losses
from cmmdl.training.config import LossConfig, OptimConfig
from cmmdl.training.graph import RecordedStep
from cmmdl.training.losses import TAUGHT, TERMS
from cmmdl.training.optim import RunningAverage, make_optimizer
from cmmdl.training.step import Step

WAITS = ("_local_scalar_dense", "is_nonzero", "equal.default", "nonzero", "masked_select")
"""Operations whose result the host has to know."""

WEIGHTS = {**dict.fromkeys(TERMS, 1.0), "intensity": 2.0}


class Operations(TorchDispatchMode):
    """Counts what is called."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names[str(func)] += 1
        return func(*args, **(kwargs or {}))


def networks() -> list[nn.Module]:
    return [CMMDL(CMMDLConfig(width=8, blocks=1, heads=2)), CMMDLRT(CMMDLRTConfig(width=8, spectrum=8))]


def make_step(network: nn.Module) -> Step:
    average = RunningAverage(network, 0.9)
    return Step(network, network, make_optimizer(network.parameters(), OptimConfig()), average, LossConfig(), 1.0)


def crops(device: str = "cpu", seed: int = 0) -> dict[str, Tensor]:
    draw = torch.rand(3, 2, 1, 56, 56, generator=torch.Generator().manual_seed(seed)).to(device)
    return dict(zip(("ir", "vis", "mask"), draw, strict=True)) | {"by": draw.mean(0)}


@pytest.mark.parametrize("network", networks(), ids=["cmmdl", "cmmdl-rt"])
def test_a_step_never_waits_for_the_device(network: nn.Module) -> None:
    step = make_step(network.train())
    step(crops(), WEIGHTS)  # the optimiser makes its moments
    with Operations() as seen:
        step(crops(), WEIGHTS)
    assert seen.names["aten.convolution.default"] > 10, "it does see what is called"
    assert not [name for name in seen.names if any(wait in name for wait in WAITS)]


def test_a_step_counts_what_its_crops_are_without() -> None:
    counts = torch.ones(2, len(TERMS))
    counts[1, [TERMS.index(name) for name in WEIGHTS]] = 0
    numbers = make_step(networks()[1].train())({**crops(), "counts": counts}, WEIGHTS)
    assert numbers["losses"][0] > 0
    assert numbers["losses"][1] == 0


def test_what_is_not_finite_leaves_parameters_and_moments() -> None:
    network = networks()[0].train()
    step = make_step(network)
    step(crops(), WEIGHTS)
    before = [parameter.detach().clone() for parameter in network.parameters()]
    moments = [state["exp_avg"].clone() for state in step.optimizer.state.values()]
    numbers = step({**crops(), "ir": crops()["ir"] * float("nan")}, WEIGHTS)
    assert not numbers["healthy"]
    assert all(torch.equal(a, b) for a, b in zip(before, network.parameters(), strict=True))
    assert all(torch.equal(a, s["exp_avg"]) for a, s in zip(moments, step.optimizer.state.values(), strict=True))
    assert step(crops(), WEIGHTS)["healthy"]


@pytest.mark.parametrize("name", [name for name in TERMS if name != TAUGHT])
def test_losses_stay_on_the_device_of_their_pictures(name: str) -> None:
    ir, vis = torch.rand(2, 2, 1, 56, 56, device="meta")
    fused = torch.rand(2, 1, 56, 56, device="meta", requires_grad=True)
    named = {"intensity": losses.intensity, "frame": losses.frame, **losses.DIRECT}
    values = named[name](fused, ir, vis) if name in named else losses.metric_term(name, fused, ir, vis)
    values.mean().backward()
    assert values.device.type == fused.grad.device.type == "meta"


DIFFERENTIABLE = ["ag", "cc", "ei", "ms_ssim", "mse", "nabf", "psnr", "qabf", "rmse", "scd", "sd", "sf", "ssim", "vif"]


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_metrics_stay_on_the_device_of_their_pictures(name: str) -> None:
    pictures = [torch.rand(1, 1, 180, 180, device="meta", requires_grad=True) for _ in range(3)]
    metric = getattr(metrics, name)
    value = metric(pictures[0]) if name in ("ag", "ei", "sd", "sf") else metric(*pictures)
    assert value.device.type == "meta"


@pytest.mark.parametrize("name", sorted(BASELINES))
def test_baselines_stay_on_the_device_of_their_pictures(name: str) -> None:
    ir, vis = torch.rand(2, 1, 1, 64, 72, device="meta")
    assert BASELINES[name]().to("meta")(ir, vis).device.type == "meta"


@pytest.mark.parametrize("shape", [(1, 1, 20, 23), (2, 3, 20, 23), (4, 20, 23)])
def test_windows_by_convolution_are_windows_by_shifts(shape: tuple[int, ...]) -> None:
    x = torch.rand(shape, dtype=torch.float64)
    rows, columns = (0.2, -1.0, 0.5, 0.0), (1.0, 2.0, 1.0)
    expected = windows.separable(x, rows, columns)
    assert torch.allclose(windows._convolve(x, rows, columns), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("number", [0, 1], ids=["cmmdl", "cmmdl-rt"])
def test_a_recorded_step_is_the_plain_step(number: int) -> None:
    values = []
    for recorded in (False, True):
        torch.manual_seed(0)
        step = make_step(networks()[number].cuda().train())
        take: Any = RecordedStep(step) if recorded else step
        values.append([take(crops("cuda", n), WEIGHTS)["loss"].item() for n in range(8)])
    assert values[1] == pytest.approx(values[0], rel=2e-2)
