"""Notes on standard error, and ``--strict``."""

from __future__ import annotations

import sys

import click

from cmmdl.cli.exit_codes import DONE, INCOMPLETE

strict_option = click.option(
    "--strict", is_flag=True, help="End with status 3 if there was a note about what a result shows."
)


class Notes:
    """Prints each note once, above the progress bar.

    Attributes:
        results: How many concerned what a result shows.
        undone: How many of these, something that was asked for and could not be done.
    """

    def __init__(self, quiet: bool, strict: bool = False) -> None:
        self.said = set[str]()
        self.quiet, self.strict = quiet, strict
        self.results = self.undone = 0

    def __call__(self, text: str) -> None:
        """Prints a note, unless it was printed before, or is not wanted."""
        from tqdm import tqdm

        from cmmdl.files.notes import ResultNote, UndoneNote

        matters = isinstance(text, ResultNote)
        if text in self.said or (self.quiet and not matters):
            return
        self.said.add(text)
        self.results += matters
        self.undone += isinstance(text, UndoneNote)
        tqdm.write(f"note: {text}", file=sys.stderr)
        sys.stderr.flush()

    def status(self, status: int = DONE) -> int:
        """The exit status: that of the run, or incomplete if it was done and notes are not tolerated."""
        return INCOMPLETE if status == DONE and (self.undone or (self.strict and self.results)) else status
