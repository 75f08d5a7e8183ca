"""Notes: lines about anything worth knowing, told apart by whether they concern what a result shows."""

from __future__ import annotations


class ResultNote(str):
    """A note about what a result shows, such as values that were clipped.

    The command line prints these even with ``-q``, and ends with status 3 on ``--strict``. To `warnings.warn` it is a
    plain text.
    """

    __slots__ = ()


class UndoneNote(ResultNote):
    """A note about something that was asked for and could not be done. The command line ends with status 3."""

    __slots__ = ()
