"""What a run starts from: processes, device and precision, and the network."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from pydantic import ValidationError
from torch import nn

from cmmdl.errors import UserError
from cmmdl.models.cmmdl import FDLB, ChannelAttention, DenseUnit
from cmmdl.models.networks import architecture_of, build
from cmmdl.models.weightless import WEIGHTLESS
from cmmdl.runtimes.device import find_device
from cmmdl.training.config import TrainConfig
from cmmdl.weights.loading import load_model

DEVICE_VARIABLE = "ACCELERATE_TORCH_DEVICE"


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Processes, device and precision, by Hugging Face Accelerate.

    Raises:
        UserError: If the batch cannot be shared equally or the device lacks the precision.
    """
    if config.run.threads:
        torch.set_num_threads(config.run.threads)
    warnings.filterwarnings("ignore", "Grad strides do not match")  # depthwise weights: one layout, two names
    device = find_device(config.run.device)
    with _on(device, named=config.run.device not in ("auto", "cpu")):
        accelerator = Accelerator(
            cpu=device.type == "cpu",
            mixed_precision=mixed_precision(config),
            kwargs_handlers=[DistributedDataParallelKwargs(gradient_as_bucket_view=True)],
        )
    if (
        accelerator.num_processes == 1
        and os.environ.get("ACCELERATE_USE_CPU") == "True"
        and "MASTER_PORT" in os.environ
    ):
        raise UserError(
            "`accelerate launch --cpu` starts one process only: for several use "
            "`accelerate launch --multi_gpu --num_processes N` (on CPUs too) or `torchrun --nproc_per_node N`"
        )
    for batch in (config.data.batch, *(phase.batch for phase in config.phases if phase.batch)):
        if batch % accelerator.num_processes:
            raise UserError(f"data.batch = {batch} cannot be shared by {accelerator.num_processes} processes")
    if not config.data.sources:
        raise UserError("nothing to train on: give --ir DIR --vis DIR, or data.sources in the configuration file")
    return accelerator


@contextmanager
def _on(device: torch.device, *, named: bool) -> Iterator[None]:
    """Makes Accelerate take the device that was named, rather than one for each process.

    Raises:
        UserError: If there are several processes.
    """
    if not named:
        yield
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(f"run.device = '{device}' names one device; several processes share all of them with 'auto'")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    before = os.environ.get(DEVICE_VARIABLE)
    os.environ[DEVICE_VARIABLE] = str(device)
    try:
        yield
    finally:
        os.environ.pop(DEVICE_VARIABLE) if before is None else os.environ.update({DEVICE_VARIABLE: before})


def mixed_precision(config: TrainConfig) -> str:
    """``bf16`` or ``no``: by choice, or bfloat16 on GPUs that compute in it."""
    device = find_device(config.run.device)
    cuda = device.type == "cuda"
    if config.run.precision == "bf16":
        able = torch.cuda.is_bf16_supported(including_emulation=False) if cuda else cpu_has_bf16()
        able = able and device.type in ("cuda", "cpu")
        if not able:
            raise UserError("run.precision = 'bf16': this device has no bfloat16 instructions; use 'fp32'")
        return "bf16"
    auto = config.run.precision == "auto" and cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    return "bf16" if auto else "no"


def cpu_has_bf16() -> bool:
    """Whether the CPU multiplies bfloat16 in hardware (AVX512-BF16 or AMX)."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def build_network(config: TrainConfig, saved: dict[str, Any] | None) -> tuple[TrainConfig, nn.Module]:
    """The network to train, and the configuration with its true ``model`` table.

    Weights come from ``run.init`` or from the seed; a saved run's replace them later.
    """
    given: Any = config.model
    own = {name: getattr(given, name) for name in WEIGHTLESS if name in given.model_fields_set}
    if saved and config.run.init:
        config = with_model(config, {**saved["config"]["model"], **own})
    elif config.run.init:
        network = load_model(config.run.init)
        architecture = architecture_of(network)
        if architecture is None:
            raise UserError(f"run.init = {config.run.init!r}: only weights of a CMMDL network can be trained on")
        settings: Any = network.config
        network.config = settings = with_own(settings, own)
        return with_model(config, {"architecture": architecture, **vars(settings)}), without_idle_biases(network)
    torch.manual_seed(config.run.seed)
    table = config.model.model_dump()
    return config, without_idle_biases(build(table.pop("architecture"), table))


def load_teacher(config: TrainConfig, device: torch.device) -> nn.Module | None:
    """The network of ``loss.teacher``, which stays as it is; None without one."""
    if config.loss.teacher is None:
        return None
    return load_model(config.loss.teacher).to(device).eval().requires_grad_(False)


def with_own(settings: Any, own: dict[str, Any]) -> Any:
    """The settings of a network with other ones of `WEIGHTLESS`; a UserError if that network cannot have them."""
    try:
        return replace(settings, **own)
    except ValueError as error:
        raise UserError(f"model.{error}") from None


def without_idle_biases(network: nn.Module) -> nn.Module:
    """Train everything but the biases that a batch norm takes out again.

    Their gradient is rounding noise, which Adam would turn into full steps in random directions.
    """
    network.requires_grad_(True)
    idle = []
    for module in network.modules():
        if isinstance(module, FDLB):
            idle += [module.post_vis.bias, module.post_ir.bias]
        elif isinstance(module, DenseUnit):
            idle.append(module.norm1.bias)
        elif isinstance(module, ChannelAttention):
            idle += [module.squeeze.bias, module.excite.bias]
    for bias in idle:
        assert bias is not None
        bias.requires_grad_(False)
    return network


def with_model(config: TrainConfig, table: dict[str, Any]) -> TrainConfig:
    """A copy of the configuration with another ``model`` table; a UserError if no network can have it."""
    try:
        return config.model_validate({**config.model_dump(), "model": table})
    except ValidationError as error:
        raise UserError(f"model.{error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
