"""A cluster of Ray: reaching it within a bounded time, and how many workers it has room for."""

from __future__ import annotations

import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cmmdl.errors import UsageError, UserError
from cmmdl.runtimes.choice import installed

WAIT = 10
"""Seconds in which an address must answer."""

JOIN = 60
"""Seconds in which what answers must prove to be Ray."""

THREADS = 2
"""CPU threads of a worker, unless it is told otherwise: less memory than with one each, little time lost."""

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:]+\]|[^\s:/]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True)
class Plan:
    """The pool of workers.

    Attributes:
        workers: How many.
        cpus: Cores that each is given.
        gpus: GPUs that each is given.
    """

    workers: int
    cpus: int
    gpus: int = 0


def check_address(address: str) -> None:
    """Refuses what is no address, before anything is asked of it.

    Raises:
        UsageError: If it is none of ``auto``, ``local`` and ``HOST:PORT``.
    """
    if address in ("auto", "local"):
        return
    found = _ADDRESS.fullmatch(address)
    if address.startswith("ray://"):
        raise UsageError(
            f"--ray {address}: start the command on a computer of the cluster with --ray auto, as with `ray job submit`"
        )
    if not found or not 1 <= int(found["port"]) <= 65535:
        raise UsageError(f"--ray {address} is none of auto, local and HOST:PORT; give for example 10.0.0.1:6379")


def check_answers(address: str) -> None:
    """Asks, before anything else is done, whether Ray is installed, and whether anything answers at an address.

    Raises:
        UserError: If not.
    """
    if not installed("ray"):
        raise UserError("--ray needs Ray: pip install 'cmmdl[ray]', on every node")
    found = _ADDRESS.fullmatch(address)
    if found is None:
        return
    try:
        socket.create_connection((found["host"].strip("[]"), int(found["port"])), timeout=WAIT).close()
    except OSError as error:
        reason = f"no answer within {WAIT} s" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise UserError(
            f"--ray {address} does not answer ({reason}); start Ray there with `ray start --head`"
        ) from error


def connect(address: str) -> None:
    """Joins a cluster, or starts one on this computer for ``local``.

    Raises:
        UserError: If nothing answers in time, or what does is no cluster that can be joined.
    """
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_TQDM", "0")
    try:
        import ray
        import ray.data  # which needs more packages
    except ImportError as error:
        raise UserError(f"--ray needs {error.name or 'ray'}: pip install 'cmmdl[ray]', on every node") from error
    if ray.is_initialized():
        return
    if address not in ("auto", "local"):
        _check_is_ray(address)
    logging.getLogger("ray").setLevel(logging.CRITICAL)
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
            include_dashboard=False if address == "local" else None,
        )
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UserError(_cannot_join(address, error)) from error


def _cannot_join(address: str, error: Exception) -> str:
    reason = " ".join(str(error).split())[:200]
    if address == "auto":
        return "--ray auto: no cluster runs on this computer; start one with `ray start --head`, or give --ray local"
    return (
        f"--ray {address}: cannot be joined ({reason}); run the command on a computer of the cluster, with --ray auto"
    )


def _check_is_ray(address: str) -> None:
    """Asks in a process of its own whether what answers is Ray: joining something else waits for long, or ends all."""
    call = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        healthy = subprocess.run(call, capture_output=True, timeout=JOIN).returncode == 0
    except subprocess.TimeoutExpired:
        healthy = False
    if not healthy:
        raise UserError(f"--ray {address}: what answers there is no Ray of this version; check address and port")


def living_nodes() -> list[dict[str, Any]]:
    """The nodes of the cluster as they are now."""
    import ray

    return [node for node in ray.nodes() if node["Alive"]]


def plan(nodes: Sequence[dict[str, Any]], *, device: str, threads: int | None, most: int | None = None) -> Plan:
    """The pool of workers for which a cluster has room.

    Args:
        nodes: As ``ray.nodes()`` gives them.
        device: ``"auto"`` takes GPUs where there are some, else CPUs.
        threads: CPU threads of a worker; None for `THREADS`, or what the smallest node has.
        most: So many workers at most.

    Raises:
        UserError: If there is no room.
        UsageError: If a certain GPU is asked for.
    """
    gpus = int(sum(node["Resources"].get("GPU", 0) for node in nodes))
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: Ray gives each worker a device of its own; give auto, cpu or cuda")
    if device == "cuda" and not gpus:
        raise UserError("--device cuda: the cluster has no GPU; leave it out to fuse on CPUs")
    if gpus and device != "cpu":
        return Plan(min(gpus, most or gpus), 1, 1)
    cores = [int(node["Resources"].get("CPU", 0)) for node in nodes]
    each = threads or min([THREADS, *(count for count in cores if count)])
    room = sum(count // each for count in cores)
    if not room:
        raise UserError(f"no node of the cluster has {each} CPUs (they have {cores}); give fewer --threads")
    return Plan(min(room, most or room), each)
