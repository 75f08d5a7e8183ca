"""Two processes on the CPU do what one does on the same global batch."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn

from cmmdl.models.cmmdl import CMMDL, CMMDLConfig
from cmmdl.training.batchnorm import GlobalBatchNorm, use_global_statistics
from cmmdl.training.checkpoint import newest_checkpoint
from cmmdl.weights.loading import load_model
from training_helpers import TINY_MODEL, finish, finish_here, relative_difference, start, train_command, write_pairs


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def network_and_batch() -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    network = CMMDL(CMMDLConfig(**TINY_MODEL)).double().train()
    ir, vis = torch.rand(2, 4, 1, 24, 20, dtype=torch.float64)
    return network, ir, vis


def share_of_gradient(rank: int, port: int, file: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    network, ir, vis = network_and_batch()
    use_global_statistics(network)
    parallel = nn.parallel.DistributedDataParallel(network)
    mine = slice(2 * rank, 2 * rank + 2)
    (parallel(ir[mine], vis[mine]) - vis[mine]).abs().mean().backward()
    if rank == 0:
        gradients = {name: value.grad for name, value in network.named_parameters()}
        torch.save({"gradients": gradients, "state": network.state_dict()}, file)
    dist.barrier()
    dist.destroy_process_group()


def test_gradients_and_statistics_are_those_of_the_global_batch(tmp_path: Path) -> None:
    file = tmp_path / "two.pt"
    mp.spawn(share_of_gradient, (free_port(), str(file)), nprocs=2)
    two = torch.load(file)
    network, ir, vis = network_and_batch()
    (network(ir, vis) - vis).abs().mean().backward()
    for name, parameter in network.named_parameters():
        assert torch.allclose(two["gradients"][name], parameter.grad, rtol=1e-7, atol=1e-13), name
    for name, value in network.state_dict().items():
        assert torch.allclose(two["state"][name], value, rtol=1e-12, atol=1e-15), name
    assert any("running_var" in name for name in two["state"])


def test_global_batch_norm_keeps_the_state_dict_and_evaluates_alone() -> None:
    plain = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3))
    plain(torch.randn(4, 2, 5, 5))
    x = torch.randn(2, 2, 5, 5)
    before, state = plain.eval()(x), list(plain.state_dict())
    use_global_statistics(plain)
    assert isinstance(plain[1], GlobalBatchNorm)
    assert list(plain.state_dict()) == state
    assert torch.equal(plain(x), before)


@pytest.mark.parametrize("launcher", ["accelerate", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_ten_steps_of_two_processes_are_ten_steps_of_one(tmp_path: Path, launcher: str) -> None:
    pairs = write_pairs(tmp_path / "pairs")
    launch = {
        "accelerate": ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--num_machines=1",
                       "--mixed_precision=no", "--dynamo_backend=no", f"--main_process_port={free_port()}"],
        "torchrun": ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"],
    }[launcher]  # fmt: skip
    settings = "run.steps=10", "phases=[{start=4, share=0.5}, {start=7, share=0.5}]"
    one = finish_here(train_command(pairs, tmp_path / "one", *settings))
    two = finish([*launch, *train_command(pairs, tmp_path / "two", *settings)])
    assert one.exit_code == 0, one.stderr
    assert two.returncode == 0, two.stderr
    assert two.stdout.count("10 steps, the mean of steps 7, 10") == 1, "one process reports"
    states = [newest_checkpoint(tmp_path / name) for name in ("one", "two")]
    assert [state["step"] for state in states] == [10, 10]
    shipped = [load_model(tmp_path / name / "last.safetensors").state_dict() for name in ("one", "two")]
    parts = {name: [state[name] for state in states] for name in ("model", "average")} | {"shipped": shipped}
    for part, both in parts.items():
        difference = relative_difference(*both)
        assert 0 < difference < 1e-4, f"{part}: {difference:.1e}"
    assert relative_difference(shipped[0], states[0]["average"]) > 1e-4, "the mean is not the last average"
    logs = [(tmp_path / name / "log.jsonl").read_text() for name in ("one", "two")]
    assert logs[0].count("\n") == logs[1].count("\n") == 1


def launch_two(place: Path, steps: int) -> list[str]:
    """What two launchers print that train as on two machines, whose runs' folders are not the same."""
    port, launchers = free_port(), []
    for rank in range(2):
        command = train_command(place / "pairs", place / f"machine{rank}", f"run.steps={steps}")
        nodes = ["--nnodes=2", f"--node_rank={rank}", "--master_addr=127.0.0.1", f"--master_port={port}"]
        launchers.append(start(["-m", "torch.distributed.run", "--nproc_per_node=1", *nodes, *command]))
    told = [launcher.communicate(timeout=240) for launcher in launchers]
    assert [launcher.returncode for launcher in launchers] == [0, 0], told
    return [out for out, _ in told]


@pytest.mark.slow
def test_two_launchers_on_the_loopback_are_one_run(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs")
    for _ in range(2):  # the second time they go on from the checkpoint before the last
        first, second = launch_two(tmp_path, 4)
        assert first.count("4 steps") == 1
        assert "4 steps" not in second, "one process reports"
        *before, last = sorted((tmp_path / "machine0").glob("checkpoint-*.pt"))
        assert before
        last.rename(tmp_path / "last.pt")
    (tmp_path / "last.pt").rename(last)
    assert newest_checkpoint(tmp_path / "machine1") is None, "rank 0 alone writes"
    one = finish(train_command(pairs, tmp_path / "one", "run.steps=4"))
    assert one.returncode == 0, one.stderr
    states = [newest_checkpoint(folder) for folder in (tmp_path / "one", tmp_path / "machine0")]
    assert [state["step"] for state in states] == [4, 4]
    assert 0 < relative_difference(states[0]["model"], states[1]["model"]) < 1e-4


def test_a_launcher_that_starts_one_process_instead_of_two_is_told(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs", 1)
    launch = ["-m", "accelerate.commands.launch", "--cpu", "--num_processes=2"]
    result = finish([*launch, *train_command(pairs, tmp_path / "run", "run.steps=1")])
    assert result.returncode == 1
    assert "`accelerate launch --cpu` starts one process only" in result.stderr


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_is_refused(tmp_path: Path) -> None:
    pairs = write_pairs(tmp_path / "pairs", 1)
    launch = ["-m", "torch.distributed.run", "--nproc_per_node=2", f"--master_port={free_port()}"]
    result = finish([*launch, *train_command(pairs, tmp_path / "run", "data.batch=5")])
    assert result.returncode != 0
    assert "data.batch = 5 cannot be shared by 2 processes" in result.stderr
