"""The network against the released program's own output and activations."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from cmmdl.models import cmmdl_cpu
from cmmdl.models.cmmdl import CMMDL
from cmmdl.weights.released import from_released
from released_weights import GOLDEN, released_state

SIZES = ["32x32", "40x56", "37x51", "17x90"]


@pytest.fixture(scope="module")
def model() -> CMMDL:
    return from_released(released_state())[0]


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    return dict(np.load(GOLDEN / "cmmdl_parity.npz"))


def image(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array).reshape(1, 1, *array.shape[-2:])


@pytest.fixture(params=["whole", "in bands"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Both files that compute the network: these pictures are below one band, unless a band is four rows."""
    if request.param == "in bands":
        monkeypatch.setattr(cmmdl_cpu, "BAND_PIXELS", 4 * 32)
        monkeypatch.setattr(cmmdl_cpu, "LEAST_ROWS", 1)
    return request.param


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("threads", [1, 2])
def test_output_agrees_with_the_released_program(model: CMMDL, golden: dict, size: str, threads: int, way: str) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.inference_mode():
            assert cmmdl_cpu.worthwhile(image(golden[f"ir_{size}"])) == (way == "in bands")
            fused = model(image(golden[f"ir_{size}"]), image(golden[f"vis_{size}"]))
    finally:
        torch.set_num_threads(before)
    assert np.abs(fused.numpy() - golden[f"fused_{size}"].reshape(fused.shape)).max() <= 2e-5


@pytest.mark.parametrize("size", SIZES)
def test_one_thread_and_two_agree(model: CMMDL, golden: dict, size: str, way: str) -> None:
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            with torch.inference_mode():
                results.append(model(image(golden[f"ir_{size}"]), image(golden[f"vis_{size}"])))
    finally:
        torch.set_num_threads(before)
    assert (results[0] - results[1]).abs().max() <= 2e-5


def test_activations_agree_with_the_released_program(model: CMMDL, golden: dict) -> None:
    seen: dict[str, torch.Tensor] = {}

    def keep(*names: str) -> Callable:
        def hook(module: torch.nn.Module, args: tuple, output: torch.Tensor | tuple) -> None:
            for name, value in zip(names, output if isinstance(output, tuple) else (output,), strict=True):
                seen[name] = value  # the last call counts: the encoder sees the infrared picture second

        return hook

    block = model.encoder.blocks[0]
    handles = [
        model.encoder.register_forward_hook(keep("act_encoder_0")),
        block.register_forward_hook(keep("act_block0_0")),
        block.sfca.register_forward_hook(keep("act_sfca_0")),
        model.fdlb.register_forward_hook(keep("act_fdlb_0", "act_fdlb_1")),
        model.sdlb_vis.register_forward_hook(keep("act_sdlb_vis_0")),
        model.sdlb_ir.register_forward_hook(keep("act_sdlb_ir_0")),
        model.hdffb.register_forward_hook(keep("act_hdffb_0")),
    ]
    with torch.inference_mode():
        model(image(golden["ir_40x56"]), image(golden["vis_40x56"]))
    for handle in handles:
        handle.remove()
    assert {f"{name}_40x56" for name in seen} == {name for name in golden if name.startswith("act_")}
    for name, value in seen.items():
        reference = golden[f"{name}_40x56"]
        ours = value.numpy()[:, ::8].reshape(reference.shape)
        assert np.abs(ours - reference).max() <= 1e-4 * np.abs(reference).max(), name
