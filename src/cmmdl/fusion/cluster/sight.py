"""Whether every computer of a cluster can do its part, found before anything is fused."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmmdl import __version__
from cmmdl.errors import UserError
from cmmdl.files.addresses import as_path, file_system, is_remote
from cmmdl.files.atomic import write_bytes

WAIT = 120
"""Seconds for which a node may take to answer; a Python process is started there."""


@dataclass(frozen=True)
class Needs:
    """What a node must have.

    Attributes:
        version: Of this package.
        files: Addresses that it must be able to read; paths in full.
        token: A path that the command has made below the results, to be seen by every node; empty if they go elsewhere.
    """

    version: str
    files: Sequence[str]
    token: str = ""


def blind_to(needs: Needs) -> str:
    """What this computer lacks, in a few words; empty if it lacks nothing. Called on each node."""
    if __version__ != needs.version:
        return f"has cmmdl {__version__}, and the command cmmdl {needs.version}; install the same on all"
    for address in needs.files:
        if not is_remote(address):
            if not as_path(address).exists():
                return f"does not see {address}; paths must be on a disk that all nodes share"
            continue
        try:
            system, path = file_system(address)
            system.info(path)
        except UserError as error:
            return str(error)
        except Exception as error:  # whatever its back end raises
            return f"cannot read {address} ({' '.join(str(error).split())[:100] or type(error).__name__})"
    if needs.token and not Path(needs.token).exists():
        folder = os.path.dirname(needs.token)
        return f"does not see {folder} of the command; results must go to a disk that all nodes share, or an address"
    return ""


def looker() -> Callable[[Needs | dict[str, Any]], str]:
    """A function that Ray can send to a node which may not have this package."""

    def look(needs: dict[str, Any]) -> str:
        try:
            from cmmdl.fusion.cluster.sight import Needs, blind_to
        except ImportError as error:
            return f"lacks {error.name}: pip install 'cmmdl[ray]' there too"
        return blind_to(Needs(**needs))

    return look  # type: ignore[return-value]


def check_nodes(nodes: Sequence[dict[str, Any]], files: Sequence[str], out: Path | None) -> None:
    """Looks on each node whether it can read the pictures and write the results.

    Args:
        nodes: As ``ray.nodes()`` gives them.
        files: Addresses of which each must be able to read every one.
        out: Folder of the results, if they go to a path.

    Raises:
        UserError: Naming the first node that cannot, and why.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    token = out / f".nodes-{os.getpid()}-{os.urandom(4).hex()}.cmmdl-tmp" if out is not None else None
    needs = {"version": __version__, "files": list(files), "token": str(token.absolute()) if token else ""}
    if token is not None:
        write_bytes(token, b"seen by all nodes?")
    try:
        look = ray.remote(looker())
        asked = {
            look.options(
                num_cpus=0,
                max_retries=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            ).remote(needs): node["NodeManagerAddress"]
            for node in nodes
        }
        answered, silent = ray.wait(list(asked), num_returns=len(asked), timeout=WAIT)
        if silent:
            raise UserError(f"node {asked[silent[0]]} does not answer within {WAIT} s; check it with `ray status`")
        for answer in answered:
            _tell(asked[answer], answer)
    finally:
        if token is not None:
            token.unlink(missing_ok=True)


def _tell(node: str, answer: Any) -> None:
    import ray

    try:
        lack = ray.get(answer)
    except ray.exceptions.RayError as error:
        lack = f"runs nothing ({' '.join(str(error).split())[:120]})"
    if lack:
        raise UserError(f"node {node} {lack}")
