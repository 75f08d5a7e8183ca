"""The server under load, as `benchmarks/serve_load.py` measures it: 50 clients, hostile uploads among them."""

from __future__ import annotations

import argparse

import pytest

from conftest import ROOT

pytestmark = pytest.mark.slow


def test_two_thousand_requests_of_fifty_clients(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("fastapi", reason='needs pip install "cmmdl[serve]"')
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import serve_load

    (load,) = serve_load.run(argparse.Namespace(clients=50, requests=2000), [(160, 120)])
    assert load.wrong == [], "each hostile upload gets the status that it must, and pictures are right"
    assert len(load.waits) == 2000
    assert {code for code in load.answers if code >= 500} <= {503}
    assert load.growth < 0.05
    assert load.p99 < 2 * (serve_load.QUEUE + 1) * load.one, "twice what it is on a quiet computer"
