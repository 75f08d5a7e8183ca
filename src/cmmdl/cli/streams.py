"""Output that no encoding can stop: a pipe on Windows has cp1252, which lacks arrows, minus signs and most names."""

from __future__ import annotations

import codecs
import sys
import unicodedata

PLAIN = {"→": "->", "←": "<-", "−": "-", "×": "x", "…": "...", "≈": "~", "≤": "<=", "≥": ">=", "±": "+-", "²": "2"}
"""What stands for the signs that messages and tables use."""

_HANDLER = "cmmdl.plain"


def make_printable() -> None:
    """From now on characters that standard output or error cannot write are replaced rather than an error."""
    codecs.register_error(_HANDLER, _in_plain)
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors=_HANDLER)


def _in_plain(error: UnicodeError) -> tuple[str | bytes, int]:
    """The characters as ASCII."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_plain, error.object[error.start : error.end])), error.end


def _plain(sign: str) -> str:
    """By the table, without its accent, or by its number."""
    letter = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
    return PLAIN.get(sign) or letter or sign.encode("ascii", "backslashreplace").decode()
