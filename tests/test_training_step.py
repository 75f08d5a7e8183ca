"""A step of training as work for one device: nothing waits for it, nothing strays from it; recorded as it is plain."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from functools import partial
from pathlib import Path
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
from cmmdl.training import loop, losses
from cmmdl.training.config import LossConfig, OptimConfig
from cmmdl.training.graph import RecordedStep
from cmmdl.training.losses import TAUGHT, TERMS
from cmmdl.training.optim import RunningAverage, make_optimizer
from cmmdl.training.step import Step
from training_helpers import tiny_config, write_pairs

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


OF_ONE_PICTURE = ["ag", "ei", "phase_congruency", "sd", "sf", "soft_entropy"]
OF_THREE = [
    "cc", "fmi", "ms_ssim", "mse", "nabf", "psnr", "qabf", "qcb", "qcv", "qe", "qm", "qp", "qw", "qy", "rmse", "scd",
    "soft_mutual_information", "ssim", "vif",
]  # fmt: skip
"""All but the four that count grey levels, which the device `meta` cannot do."""


@pytest.mark.parametrize("name", OF_ONE_PICTURE + OF_THREE)
def test_metrics_stay_on_the_device_of_their_pictures(name: str) -> None:
    draw = partial(torch.rand, 1, 1, 180, 180, device="meta", requires_grad=True)  # whose range is not looked at
    pictures = [draw() for _ in range(1 if name in OF_ONE_PICTURE else 3)]
    assert getattr(metrics, name)(*pictures).device.type == "meta"


class NoOptimizer:
    """In the place of a fused one, which there is none of on the device `meta`."""

    def zero_grad(self, *, set_to_none: bool) -> None: ...

    def step(self) -> None: ...


@pytest.mark.parametrize("network", networks(), ids=["cmmdl", "cmmdl-rt"])
def test_a_step_stays_on_the_device_of_its_pictures(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # it does not know that device either
    network = network.to("meta").train()
    optimizer: Any = NoOptimizer()
    step = Step(network, network, optimizer, RunningAverage(network, 0.9), LossConfig(), 1.0)
    pictures = {name: picture.to("meta") for name, picture in crops().items()}
    numbers = step({**pictures, "counts": torch.ones(2, len(TERMS), device="meta")}, WEIGHTS)
    assert {value.device.type for value in numbers.values()} == {"meta"}
    assert {parameter.grad.device.type for parameter in network.parameters() if parameter.grad is not None} == {"meta"}


def test_the_host_reads_a_steps_numbers_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = loop.Training(tiny_config(tmp_path / "run", write_pairs(tmp_path / "pairs")))
    batch = next(iter(training.batches()))
    training.optimise(batch)  # the optimiser makes its moments
    reads, to_list = list[Tensor](), Tensor.tolist
    monkeypatch.setattr(Tensor, "tolist", lambda tensor: reads.append(tensor) or to_list(tensor))
    with Operations() as seen:
        training.optimise(batch)
    assert len(reads) == 1
    assert not [name for name in seen.names if any(wait in name for wait in WAITS)]


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
    given = [x.clone().requires_grad_(True) for _ in range(2)]
    weight = torch.rand_like(expected)
    for each, window in zip(given, (windows.separable, windows._convolve), strict=True):
        (window(each, rows, columns) * weight).sum().backward()
    assert torch.allclose(given[0].grad, given[1].grad, rtol=1e-12, atol=1e-12)


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
