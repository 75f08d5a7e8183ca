"""How the names of two pictures of a pair differ: one star stands for what they share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from cmmdl.errors import UsageError
from cmmdl.files.images import IMAGE_SUFFIXES
from cmmdl.files.listing import Found, composed


class Reading(Protocol):
    """How a file's key, which it shares with its partner, is read from its name."""

    @property
    def length(self) -> int:
        """How many characters it asks for beside the key: of two readings of a name the longer one counts."""

    def key(self, found: Found) -> str | None:
        """What stands for the star in a file's name; None if the name is another."""

    def named(self, key: str) -> str:
        """The stem of a file of this key."""


@dataclass(frozen=True)
class NamePattern:
    """Text before and after the key, as in ``IR_*`` or ``*_ir.tif``.

    Attributes:
        before: What the name begins with.
        after: What its stem ends with.
        suffix: The suffix of the file, in lower case; empty for any.
        optional: Whether a name that does not end with ``after`` is a key as a whole.
    """

    before: str = ""
    after: str = ""
    suffix: str = ""
    optional: bool = False

    @classmethod
    def parse(cls, text: str, option: str) -> NamePattern:
        """The pattern of a text with one star.

        Raises:
            UsageError: If it has no star or two, or names a folder.
        """
        stem, suffix = composed(text).removesuffix(".*"), ""
        for known in IMAGE_SUFFIXES:
            if stem.lower().endswith(known):
                stem, suffix = stem[: -len(known)], known
        if stem.count("*") != 1:
            raise UsageError(
                f"{option} {text!r}: the pattern needs exactly one star, which stands for what the names of a pair "
                f"share; quote it, as in {option} 'IR_*'"
            )
        if "/" in stem or "\\" in stem:
            raise UsageError(f"{option} {text!r}: the pattern is for names of files; give the folders as arguments")
        before, _, after = stem.partition("*")
        return cls(before, after, suffix)

    @property
    def length(self) -> int:
        """Characters beside the key."""
        return len(self.before) + len(self.after) + len(self.suffix)

    def key(self, found: Found) -> str | None:
        """What stands for the star in a file's name; None if the name is another."""
        stem = found.stem
        if self.suffix and found.path.suffix.lower() != self.suffix:
            return None
        if stem.startswith(self.before) and stem.endswith(self.after):
            key = stem[len(self.before) : len(stem) - len(self.after)]
            if key:
                return key
        return stem if self.optional else None

    def named(self, key: str) -> str:
        """The stem of a file of this key."""
        return key if self.optional else f"{self.before}{key}{self.after}"

    def __str__(self) -> str:
        return f"{self.before}*{self.after}{self.suffix}"


WHOLE = NamePattern()
"""The whole stem is the key."""


@dataclass(frozen=True)
class Naming:
    """What the user says about the names of the files of a pair; nothing: they are alike, or differ in a usual mark.

    Attributes:
        ir_name: Of infrared files, with one star: ``IR_*``, ``*_T``, ``IR_*.tif``.
        vis_name: The same of visible ones.
        ir_suffix: Short for ``ir_name="*SUFFIX"``; in a folder of its own a stem without it is a key as well.
        vis_suffix: The same of visible ones.
        recursive: Whether folders below are paired too, each with that of the same name.

    Raises:
        UsageError: If a pattern has not one star, or a side has a pattern and a suffix.
    """

    ir_name: str = ""
    vis_name: str = ""
    ir_suffix: str = ""
    vis_suffix: str = ""
    recursive: bool = False

    def __post_init__(self) -> None:
        self.patterns(one_folder=False)

    @property
    def given(self) -> bool:
        """Whether anything is said about the names."""
        return bool(self.ir_name or self.vis_name or self.ir_suffix or self.vis_suffix)

    def patterns(self, *, one_folder: bool) -> tuple[NamePattern, NamePattern]:
        """The patterns of both sides; ``one_folder`` is whether their files lie together."""
        return (
            _pattern(self.ir_name, self.ir_suffix, "ir", one_folder),
            _pattern(self.vis_name, self.vis_suffix, "vis", one_folder),
        )


def _pattern(name: str, suffix: str, side: str, one_folder: bool) -> NamePattern:
    if name and suffix:
        raise UsageError(f"--{side}-name and --{side}-suffix exclude each other; --{side}-name '*{suffix}' says both")
    if name:
        return NamePattern.parse(name, f"--{side}-name")
    return NamePattern(after=composed(suffix), optional=bool(suffix) and not one_folder)


AS_FOUND = Naming()
