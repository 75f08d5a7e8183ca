"""The server: what it answers, what it refuses, and that it keeps nothing."""

from __future__ import annotations

import asyncio
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import torch
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("fastapi", reason='needs pip install "cmmdl[serve]"')
from fastapi.testclient import TestClient

from cmmdl import Fuser
from cmmdl.cli import main
from cmmdl.files.inmemory import as_file
from cmmdl.scenes import synthetic_pair
from cmmdl.serve import fusing
from cmmdl.serve.app import create_app
from cmmdl.serve.bodies import BodyGuard, BodyLimits
from cmmdl.serve.fusing import TimedFuser
from cmmdl.serve.guards import HostGuard
from cmmdl.serve.jobs import BusyError, Jobs, OutOfTimeError, time_check
from cmmdl.serve.settings import Settings

HOME = "http://localhost:8000"
IR, VIS = synthetic_pair(37, 51)


def encoded(array: np.ndarray[Any, Any], kind: str = "PNG") -> bytes:
    data = io.BytesIO()
    Image.fromarray(array).save(data, kind)
    return data.getvalue()


def files(ir: bytes = encoded(IR), vis: bytes = encoded(VIS)) -> dict[str, tuple[str, bytes]]:
    return {"ir": ("warm.png", ir), "vis": ("seen.png", vis)}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    settings = Settings(models=("max", "mean"), max_file_bytes=200_000, max_pixels=5000)
    with TestClient(create_app(settings), base_url=HOME) as opened:
        yield opened


def test_the_answer_is_what_the_fuser_gives(client: TestClient) -> None:
    response = client.post("/fuse", files=files())
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/png"
    got = np.asarray(Image.open(io.BytesIO(response.content)))
    np.testing.assert_array_equal(got, Fuser("max")(IR, VIS))
    assert response.headers["x-cmmdl-model"] == "max"
    assert float(response.headers["x-cmmdl-seconds"]) > 0


@pytest.mark.parametrize(("kind", "media"), [("png", "image/png"), ("jpeg", "image/jpeg"), ("tiff", "image/tiff")])
def test_formats(client: TestClient, kind: str, media: str) -> None:
    response = client.post("/fuse", files=files(), data={"format": kind, "model": "mean"})
    assert response.headers["content-type"] == media
    assert Image.open(io.BytesIO(response.content)).size == (51, 37)


def test_every_request_is_told_the_range_that_was_taken(client: TestClient) -> None:
    counts = (7000 + 5 * IR.astype(np.uint16)).astype(np.uint16)
    answers = [client.post("/fuse", files=files(ir=encoded(counts))) for _ in range(2)]
    assert all("--ir-range" in answer.headers["x-cmmdl-notes"] for answer in answers)
    by_hand = client.post("/fuse", files=files(ir=encoded(counts)), data={"ir_range": "0:65535"})
    assert by_hand.content != answers[0].content == answers[1].content


def test_depth_and_colour(client: TestClient) -> None:
    response = client.post("/fuse", files=files(), data={"depth": "uint16", "format": "png"})
    deep = cv2.imdecode(np.frombuffer(response.content, np.uint8), cv2.IMREAD_UNCHANGED)
    assert deep.dtype == np.uint16
    assert deep.shape == (37, 51, 3)


def tiff(array: np.ndarray[Any, Any]) -> bytes:
    data = io.BytesIO()
    tifffile.imwrite(data, array)
    return data.getvalue()


@pytest.mark.parametrize("celsius", [False, True])
def test_tiffs_are_fused_as_in_the_command_line(client: TestClient, tmp_path: Path, celsius: bool) -> None:
    values = IR.astype(np.float32) / 10 + 5 if celsius else IR.astype(np.uint16) * 5 + 7000
    (tmp_path / "warm.tif").write_bytes(tiff(values))
    (tmp_path / "seen.png").write_bytes(encoded(VIS))
    command = ["fuse", *(str(tmp_path / name) for name in ("warm.tif", "seen.png")), "--model", "max"]
    result = CliRunner().invoke(main, [*command, "-o", str(tmp_path / "fused.png")])
    assert result.exit_code == 0, result.output
    sent = {"ir": ("warm.tif", tiff(values)), "vis": ("seen.png", encoded(VIS))}
    answer = client.post("/fuse", files=sent)
    assert answer.status_code == 200, answer.text
    pictures = [np.asarray(Image.open(file)) for file in (io.BytesIO(answer.content), tmp_path / "fused.png")]
    np.testing.assert_array_equal(*pictures)


def test_sources_are_shown_as_they_are_laid(client: TestClient) -> None:
    counts = (7000 + 5 * IR.astype(np.uint16)).astype(np.uint16)
    sent, range_ = files(ir=encoded(counts)), {"ir_range": "7000:8275", "shift": "4,0", "format": "tiff"}
    shown = {}
    for side in ("ir", "vis"):
        answer = client.post("/fuse", files=sent, data={**range_, "show": side})
        assert answer.headers["content-type"] == "image/png"
        shown[side] = np.asarray(Image.open(io.BytesIO(answer.content)))
    np.testing.assert_array_equal(shown["ir"][:, 4:], IR[:, :-4])
    np.testing.assert_array_equal(shown["vis"], VIS)


@pytest.mark.parametrize(
    ("sent", "fields", "status", "words"),
    [
        (files(ir=b"no picture at all"), {}, 415, "warm.png"),
        (files(ir=encoded(IR)[:300]), {}, 415, "warm.png is truncated"),
        (files(vis=b""), {}, 422, "seen.png is empty"),
        (files(ir=encoded(IR[1:])), {}, 422, "51x36"),
        ({"vis": files()["vis"]}, {}, 422, "the file ir is missing"),
        ({"ir": files()["ir"]}, {}, 422, "not a radiometric JPEG"),
        (files(), {"shift": "4"}, 422, "shift '4' is not two numbers"),
        (files(), {"palette": "plaid"}, 422, "plaid"),
        (files(), {"model": "cmmdl-ivf"}, 422, "not offered here; choose one of max, mean"),
        (files(), {"stretc": "true"}, 422, "field stretc: unknown"),
        (files(), {"depth": "uint12"}, 422, "field depth"),
        (files(ir=bytes(200_001)), {}, 413, "above 0 MiB"),
        (files(ir=encoded(np.zeros((100, 51), np.uint8))), {}, 413, "megapixels"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    client: TestClient, sent: dict[str, Any], fields: dict[str, str], status: int, words: str
) -> None:
    response = client.post("/fuse", files=sent, data=fields)
    assert response.status_code == status, response.text
    detail = response.json()["detail"]
    assert words in detail
    assert "\n" not in detail
    assert "/proc/" not in detail


def test_other_kinds_of_body_are_refused(client: TestClient) -> None:
    assert client.post("/fuse", json={}).status_code == 415
    kind = {"content-type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="ir"; filename="a.png"\r\n\r\n' + encoded(IR)
    for body in (part, part + b"\r\n--x\r\nCont", b"\0" * 99, b"--x\r\n\0: \r\n\r\n", b""):
        answer = client.post("/fuse", content=body, headers=kind)
        assert (answer.status_code, "the form is broken" in answer.text) == (422, True), body[:20]
    twice = [("ir", ("a.png", encoded(IR))), ("ir", ("b.png", encoded(IR)))]
    assert "two fields ir" in client.post("/fuse", files=twice).text
    odd = client.post(
        "/fuse", content=part + b"\r\n--x--\r\n", headers={"content-type": kind["content-type"] + "; charset=no"}
    )
    assert odd.status_code == 422
    broken = client.post("/fuse", content=b"--x\r\nbroken", headers={"content-type": "multipart/form-data"})
    assert broken.status_code == 422


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil", ""])
def test_foreign_hosts_are_refused(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 403


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]:9000", "LOCALHOST:1"])
def test_own_hosts_are_answered(client: TestClient, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200


def test_foreign_origins_are_refused(client: TestClient) -> None:
    for origin in ("http://evil.example", "null", "http://localhost:1"):
        assert client.post("/fuse", files=files(), headers={"origin": origin}).status_code == 403
    assert client.post("/fuse", files=files(), headers={"origin": HOME}).status_code == 200


async def asked(app: Any, messages: list[dict[str, Any]], headers: list[tuple[bytes, bytes]]) -> list[dict[str, Any]]:
    """What an ASGI application sends for a request whose body comes in these messages."""
    sent: list[dict[str, Any]] = []
    source = iter(messages)

    async def receive() -> dict[str, Any]:
        return next(source)

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({"type": "http", "method": "POST", "path": "/", "headers": headers}, receive, send)
    return sent


async def reader(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("stated", [[], [(b"content-length", b"3")], [(b"content-length", b"99")]])
def test_a_body_is_bounded_whatever_length_it_states(stated: list[tuple[bytes, bytes]]) -> None:
    messages = [{"type": "http.request", "body": b"12345", "more_body": True} for _ in range(1000)]
    sent = asyncio.run(asked(BodyGuard(reader, BodyLimits(12, 1000, 9)), messages, stated))
    assert [message.get("status") for message in sent][:1] == [413]


def test_a_stream_without_a_stated_length_is_bounded(client: TestClient) -> None:
    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="ir"; filename="a.png"\r\n\r\n'
        for _ in range(1000):
            yield bytes(10_000)

    response = client.post("/fuse", content=endless(), headers={"content-type": "multipart/form-data; boundary=x"})
    assert response.status_code == 413
    assert "MiB" in response.json()["detail"]


def test_a_body_within_the_limit_passes() -> None:
    messages = [{"type": "http.request", "body": b"12345", "more_body": n < 1} for n in range(2)]
    assert asyncio.run(asked(BodyGuard(reader, BodyLimits(12, 1000, 9)), messages, []))[0]["status"] == 200


def test_all_bodies_together_are_bounded() -> None:
    async def second_upload() -> list[dict[str, Any]]:
        guard = BodyGuard(reader, BodyLimits(one=10, all=12, seconds=9))
        guard.held = 8  # of another request
        sent = await asked(guard, [{"type": "http.request", "body": b"12345", "more_body": True}], [])
        assert guard.held == 8
        return sent

    answer = asyncio.run(second_upload())[0]
    assert answer["status"] == 503
    assert (b"retry-after", b"1") in answer["headers"]


def test_a_body_that_trickles_is_given_up() -> None:
    async def trickle() -> tuple[int, bytes]:
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.02)
            return {"type": "http.request", "body": b"x", "more_body": True}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        guard = BodyGuard(reader, BodyLimits(10**6, 10**6, seconds=0.1))
        await guard({"type": "http", "headers": []}, receive, send)
        assert guard.held == 0
        return sent[0]["status"], sent[1]["body"]

    status, body = asyncio.run(trickle())
    assert status == 408
    assert b"within 0.1 s" in body


def test_security_headers_come_with_every_answer() -> None:
    sent = asyncio.run(asked(HostGuard(reader, frozenset({"a"})), [{"type": "http.request"}], [(b"host", b"a")]))
    assert dict(sent[0]["headers"])[b"content-security-policy"].startswith(b"default-src 'self'")


def test_the_queue_is_bounded() -> None:
    async def flood() -> tuple[int, int]:
        jobs, gate = Jobs(queue=2, seconds=0), threading.Event()
        running = [asyncio.create_task(jobs.run(lambda: gate.wait(5))) for _ in range(8)]
        await asyncio.sleep(0.1)
        gate.set()
        results = await asyncio.gather(*running, return_exceptions=True)
        refused = [result for result in results if isinstance(result, BusyError)]
        assert all(error.retry_after >= 1 for error in refused)
        assert jobs.inside == 0
        return results.count(True), len(refused)

    assert asyncio.run(flood()) == (3, 5)


def test_time_is_limited() -> None:
    def slow() -> None:
        for _ in range(100):
            time.sleep(0.02)
            time_check()()

    with pytest.raises(OutOfTimeError):
        asyncio.run(Jobs(queue=1, seconds=0.05).run(slow))
    time_check()()  # outside of a job there is no limit


def clock_of(calls: list[int], limit: int) -> Any:
    """A `time_check` whose time is over after so many looks."""

    def check() -> None:
        calls.append(1)
        if len(calls) > limit:
            raise OutOfTimeError

    return lambda: check


def test_the_clock_is_looked_at_between_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    ir, vis = synthetic_pair(40, 1100)
    calls: list[int] = []
    monkeypatch.setattr(fusing, "time_check", clock_of(calls, 9))
    fused = TimedFuser("cmmdl-rt", note=lambda *_: None)(ir, vis)
    assert len(calls) == 2
    np.testing.assert_array_equal(fused, Fuser("cmmdl-rt")(ir, vis))


@pytest.mark.parametrize("threads", [1, 2])
def test_the_clock_is_looked_at_between_bands(monkeypatch: pytest.MonkeyPatch, threads: int) -> None:
    calls: list[int] = []
    monkeypatch.setattr(fusing, "time_check", clock_of(calls, 6))
    fuser = TimedFuser("cmmdl-ivf", threads=threads, note=lambda *_: None)
    try:
        with pytest.raises(OutOfTimeError):
            fuser(*synthetic_pair(120, 128))
    finally:
        torch.set_num_threads(1)
    assert 7 <= len(calls) < 20, "it ended with the bands that had begun"


def test_a_fusion_that_takes_too_long_is_a_503() -> None:
    app = create_app(Settings(models=("max",), seconds=1e-9))
    with TestClient(app, base_url=HOME) as client:
        response = client.post("/fuse", files=files())
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1


def test_a_full_queue_is_a_503(monkeypatch: pytest.MonkeyPatch) -> None:
    app = create_app(Settings(models=("max",), queue=1))

    async def full(self: Jobs, job: Any) -> None:
        raise BusyError(7)

    monkeypatch.setattr(Jobs, "run", full)
    with TestClient(app, base_url=HOME) as client:
        response = client.post("/fuse", files=files())
    assert (response.status_code, response.headers["retry-after"]) == (503, "7")


def test_facts(client: TestClient) -> None:
    assert [model["name"] for model in client.get("/models").json()] == ["max", "mean"]
    assert client.get("/health").json()["status"] == "ok"
    client.post("/fuse", files=files())
    assert 'cmmdl_requests_total{status="200"}' in client.get("/metrics").text
    described = client.get("/openapi.json").json()["paths"]["/fuse"]["post"]
    assert {"ir", "vis", "model"} <= described["requestBody"]["content"]["multipart/form-data"]["schema"][
        "properties"
    ].keys()
    assert client.get("/docs").status_code == 404


def test_the_page_asks_no_other_host(client: TestClient) -> None:
    page = client.get("/").text
    for path in ("page.js", "page.css", "compare.js", "icon.svg"):
        assert path in page or path == "compare.js"
        text = client.get(f"/{path}").text
        assert "http://" not in text.replace("http://www.w3.org", "")
        assert "https://" not in text


def test_uploads_leave_no_file(tmp_path: Path, client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    assert client.post("/fuse", files=files()).status_code == 200
    assert list(tmp_path.iterdir()) == []


def test_in_memory_files_are_gone_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    with as_file(b"abc", "x") as path:
        assert path.read_bytes() == b"abc"
    assert not path.exists()
    monkeypatch.delattr(os, "memfd_create")
    with as_file(b"abc", "x") as path:
        assert path.read_bytes() == b"abc"
    assert not path.exists()


def test_the_command_offers_every_network_with_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    offered = list[str]()

    def stop(app: Any, settings: Settings) -> None:
        with TestClient(app, base_url=HOME) as opened:
            offered.extend(model["name"] for model in opened.get("/models").json())
        raise SystemExit

    monkeypatch.setattr("cmmdl.serve.listening.listen", stop)
    CliRunner().invoke(main, ["serve"])
    assert offered == ["cmmdl-rt", "cmmdl-ivf", "cmmdl-mif-rt", "cmmdl-mif"]
    offered.clear()
    CliRunner().invoke(main, ["serve", "--model", "max"])
    assert offered == ["max"]


@pytest.mark.parametrize("bad", [{"models": ()}, {"queue": 0}, {"max_pixels": 0}, {"seconds": -1}])
def test_settings_that_make_no_sense(bad: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Settings(**bad)


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder as `make web` builds it, as far as the server looks at it."""
    for name in ("index.html", "worker.js", "ort.mjs", "ort.wasm"):
        (tmp_path / name).write_text(name)
    return tmp_path


def test_the_local_page_has_the_headers_that_threads_need(page: Path) -> None:
    with TestClient(create_app(Settings(models=("max",), local=page)), base_url=HOME) as opened:
        answers = {name: opened.get(f"/local/{name}") for name in ("", "ort.mjs", "ort.wasm")}
        assert [answer.status_code for answer in answers.values()] == [200, 200, 200]
        for answer in answers.values():
            assert answer.headers["cross-origin-opener-policy"] == "same-origin"
            assert answer.headers["cross-origin-embedder-policy"] == "require-corp"
            assert "'wasm-unsafe-eval'" in answer.headers["content-security-policy"]
        assert answers[""].text == "index.html"
        assert answers["ort.mjs"].headers["content-type"] == "text/javascript"
        assert answers["ort.wasm"].headers["content-type"] == "application/wasm"
        assert "wasm" not in opened.get("/").headers["content-security-policy"], "the other page needs no WebAssembly"
        assert opened.get("/local/nowhere.js").status_code == 404


def test_no_local_page_unless_asked(client: TestClient) -> None:
    assert client.get("/local/").status_code == 404


def test_a_folder_without_the_page(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="make web"):
        create_app(Settings(models=("max",), local=tmp_path))
