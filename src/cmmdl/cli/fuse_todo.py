"""Which pairs of two folders a run fuses: its shard, without the results that are there already."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from cmmdl.cli.fuse_ending import say
from cmmdl.cli.fuse_shard import WHOLE
from cmmdl.errors import UserError

if TYPE_CHECKING:
    from pathlib import Path

    from cmmdl.files.pairs import Pair
    from cmmdl.files.works import Work

Item = TypeVar("Item", bound="Pair | Work")


def still_to_do(
    every: Sequence[Item],
    left_out: list[str],
    existing: Callable[[Sequence[Item]], Sequence[Item]],
    out: Path | str,
    options: dict[str, Any],
) -> tuple[list[Item], list[str], int]:
    """Chooses among all pairs of two folders.

    Args:
        every: All of them.
        left_out: Lines about what is in no pair.
        existing: Gives those whose result is there.
        out: Where results go, for the message.
        options: Of the command line.

    Returns:
        The pairs that are to be fused, lines about what is in no pair as far as this shard tells them, and how many
        results are there already and stay.

    Raises:
        UserError: If results exist and nothing was said about them.
    """
    shard = options["shard"] or WHOLE
    own = shard.of(every)
    if not own:
        say(options, f"shard {shard} is empty: there are {len(every)} pairs")
    there = existing(own)
    if there and not (options["overwrite"] or options["skip_existing"]):
        raise UserError(
            f"{out}: {len(there)} of {len(own)} results exist; pass --skip-existing to do the rest or --overwrite"
        )
    kept = {item.stem for item in there} if options["skip_existing"] else set()
    todo = [item for item in own if item.stem not in kept]
    return todo, left_out if shard.tells_the_rest else [], len(own) - len(todo)
