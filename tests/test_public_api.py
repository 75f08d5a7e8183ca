"""The public interface is frozen in a file: a change of it is made on purpose, and said in the changelog."""

from __future__ import annotations

import pytest

from conftest import ROOT

pytest.importorskip("griffe", reason="needs griffe, of the extra dev")


def test_the_public_interface_is_that_of_the_file() -> None:
    from public_api import listing

    frozen = (ROOT / "api.txt").read_text(encoding="utf-8")
    assert listing() == frozen, "if that is meant: python tests/public_api.py > api.txt, and a line in CHANGELOG.md"
