"""A run on a cluster: Ray Data gives blocks of pairs to a pool of workers, and again what was lost with one of them.

A round ends when a worker is lost: Ray would wait for a node to take its place. The next one has a pool for the nodes
that are left, and the pairs that have not ended.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cmmdl.errors import UserError
from cmmdl.files.works import Work
from cmmdl.fusion.cluster.job import Job, Told
from cmmdl.fusion.cluster.ledger import Ledger
from cmmdl.fusion.cluster.nodes import Plan, living_nodes, plan
from cmmdl.fusion.cluster.worker import Worker, rows_of

BLOCK = 32
"""Pairs of a block at most; so many may be fused again if a worker dies."""

BLOCKS_EACH = 4
"""Blocks for each worker at least, if there are as many pairs, so that a slow one does not keep the others waiting."""

PATIENCE = 5
"""So many rounds in which no pair was begun are not the end: a lost node still counts as living for a while."""

PAUSE = 3
"""Seconds before such a round, times their number."""


@dataclass
class Run:
    """A run over some pairs.

    Attributes:
        works: The pairs.
        job: What is done with each.
        threads: CPU threads of a worker, None for a choice by the nodes.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        most: So many workers at most, None for as many as there is room for.
        rounds: How many pools there were.
        repeated: How often a pair was begun again.
        plan: The last pool, as it was planned.
        workers: How many workers each pool really had, the first pool first.
    """

    works: Sequence[Work]
    job: Job
    threads: int | None = None
    device: str = "auto"
    most: int | None = None
    rounds: int = 0
    repeated: int = 0
    plan: Plan | None = None
    workers: Sequence[int] = ()

    def check(self) -> None:
        """Refuses what the cluster has no room for, before anything is done.

        Raises:
            UserError: If there is none.
        """
        self.plan = plan(living_nodes(), device=self.device, threads=self.threads, most=self.most)

    def ended(self) -> Iterator[Told]:
        """Fuses all pairs.

        Yields:
            What became of each, once, in the order in which they end.

        Raises:
            UserError: If no other pair would fare better, or workers die without having begun a pair.
        """
        import ray
        from ray.data.exceptions import SystemException

        ledger = _ledger()
        left, progress, reason, idle = dict(enumerate(self.works)), 0, "", 0
        while left:
            now = sum(ray.get([ledger.count.remote(), ledger.repeated.remote()]))
            idle = 0 if now > progress or not self.rounds else idle + 1
            progress = now
            if idle > PATIENCE:
                raise UserError(f"the workers die before they begin a pair ({reason}); look into Ray's logs")
            time.sleep(PAUSE * idle)
            try:
                for told in self._round(left, ledger):
                    yield from _once(told, left)
            except (ray.exceptions.RayError, SystemException) as error:
                reason = _last_line(error)
                for text in ray.get(ledger.ended.remote()):
                    yield from _once(Told.of_text(text), left)
            self.repeated, self.workers = ray.get([ledger.repeated.remote(), ledger.workers.remote()])

    def _round(self, left: dict[int, Work], ledger: Any) -> Iterator[Told]:
        """One pool of workers over the pairs that are left."""
        import ray

        self.rounds += 1
        self.check()
        assert self.plan is not None
        blocks = max(-(-len(left) // BLOCK), min(len(left), BLOCKS_EACH * self.plan.workers))
        rows = rows_of(list(left.values()), list(left))
        device = "auto" if self.plan.gpus else "cpu"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no other way to say that lost workers are not waited for
            data = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
                Worker,
                fn_constructor_args=(self.job, ledger, device, self.plan.cpus, self.rounds),
                batch_size=None,
                compute=ray.data.ActorPoolStrategy(size=min(self.plan.workers, blocks)),
                num_cpus=self.plan.cpus,
                num_gpus=self.plan.gpus,
                max_restarts=0,
                max_task_retries=0,
            )
        for batch in data.iter_batches(batch_size=None, prefetch_batches=0):
            yield from (Told.of_text(str(text)) for text in batch["told"])


def quiet_data() -> None:
    """Silences Ray Data's own bars and lines, since the command has its own."""
    import logging

    from ray.data import DataContext

    context: Any = DataContext.get_current()
    context.enable_progress_bars = False
    context.enable_rich_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)


def _once(told: Told, left: dict[int, Work]) -> Iterator[Told]:
    """What became of a pair, unless that is known already."""
    if left.pop(told.number, None) is None:
        return
    if told.fatal:
        raise UserError(told.error)
    yield told


def _ledger() -> Any:
    """The account of the run, on the computer of the command."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(Ledger).options(num_cpus=0, scheduling_strategy=here).remote()


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:160]
