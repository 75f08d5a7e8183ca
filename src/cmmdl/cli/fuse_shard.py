"""``cmmdl fuse --shard I/N``: one part of a folder, for schedulers that start N runs side by side."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import click

Item = TypeVar("Item")
Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Shard:
    """Part ``number`` of ``count``, counted from 1."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @property
    def tells_the_rest(self) -> bool:
        """Whether this shard names the pictures without a partner, which are in no shard: the first one does."""
        return self.number == 1

    def of(self, pairs: Sequence[Item]) -> Sequence[Item]:
        """Every N-th pair from the I-th on: no pair is in two shards of one count, each is in one."""
        return pairs[self.number - 1 :: self.count]


WHOLE = Shard(1, 1)


class _ShardText(click.ParamType):
    """A text ``I/N``; anything else is wrong usage."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Shard:
        if isinstance(value, Shard):
            return value
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", value)
        if not found:
            self.fail(f"{value!r} is not of the form I/N, such as 2/8", param, ctx)
        number, count = int(found[1]), int(found[2])
        if not 1 <= number <= count:
            self.fail(
                f"{value} is out of range; the shards are 1/{count} to {count}/{count}"
                if count
                else f"{value} has no shards; give a count of at least 1",
                param,
                ctx,
            )
        return Shard(number, count)


def shard_option(command: Command) -> Command:
    """Adds ``--shard``."""
    return click.option(
        "--shard",
        type=_ShardText(),
        metavar="I/N",
        help="Fuse only part I of N of a folder, from 1/1 to N/N; ranges are those of the whole folder.",
    )(command)
