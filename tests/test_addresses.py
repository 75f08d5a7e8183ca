"""Files by address and their pairing, on the file system that fsspec keeps in memory; and what is refused at once."""

from __future__ import annotations

import importlib.util
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from click.testing import CliRunner

from cmmdl.cli import main
from cmmdl.cli.fuse_ray import _tell_run
from cmmdl.errors import UnreadableError, UsageError, UserError
from cmmdl.files import addresses
from cmmdl.files.atomic import write_bytes
from cmmdl.files.images import write_image
from cmmdl.files.naming import Naming
from cmmdl.files.works import Places, Work, brought, existing_works, pair_works
from cmmdl.fusion.cluster.job import Told, carried, carried_transform
from cmmdl.fusion.cluster.ledger import Ledger
from cmmdl.fusion.cluster.nodes import Plan, check_address, check_answers, plan
from cmmdl.fusion.cluster.rounds import Run

needs_ray = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason='needs pip install "cmmdl[ray]"')


@pytest.fixture
def memory() -> Iterator[Any]:
    """An empty file system in memory."""
    fsspec = pytest.importorskip("fsspec", reason='needs pip install "cmmdl[ray]"')
    system = fsspec.filesystem("memory")
    system.store.clear()
    system.pseudo_dirs[:] = [""]
    yield system
    system.store.clear()


def fill(system: Any, *names: str) -> None:
    for name in names:
        system.pipe_file(name, name.encode())


def test_pairs_by_address(memory: Any) -> None:
    fill(memory, "/in/ir/a.png", "/in/ir/b.tif", "/in/ir/notes.txt", "/in/ir/.c.png", "/in/ir/low/a.png",
         "/in/vis/a.jpg", "/in/vis/b.png", "/in/vis/d.png")  # fmt: skip
    places = Places("memory://in/ir", "memory://in/vis/", "memory://out")
    works, left_out = pair_works(places)
    assert works == [
        Work("a", "memory://in/ir/a.png", "memory://in/vis/a.jpg", "memory://out/a.png"),
        Work("b", "memory://in/ir/b.tif", "memory://in/vis/b.png", "memory://out/b.png"),
    ]
    assert left_out == ["memory://in/vis/d.png: no picture 'd' in memory://in/ir"]
    fill(memory, "/out/b.png")
    assert existing_works(works, "memory://out") == works[1:]


def test_folders_below_and_marks(memory: Any) -> None:
    fill(memory, "/in/one/IR_1.png", "/in/one/RGB_1.png", "/in/two/IR_1.png", "/in/two/RGB_1.png")
    places = Places("memory://in", "memory://in", "memory://out")
    works, left_out = pair_works(places, Naming(recursive=True), suffix=".tif")
    assert [work.out for work in works] == ["memory://out/one/1.tif", "memory://out/two/1.tif"]
    assert works[0].vis == "memory://in/one/RGB_1.png"
    assert not left_out


def test_a_folder_of_files_that_hold_both(memory: Any) -> None:
    fill(memory, "/in/a.jpg", "/in/b.jpg", "/in/b.png")
    works, left_out = pair_works(Places("memory://in", None, "memory://out"))
    assert works == [Work("a", "memory://in/a.jpg", "memory://in/a.jpg", "memory://out/a.png")]
    assert "share the stem 'b'" in left_out[0]


def test_one_side_here_the_other_there(memory: Any, tmp_path: Path) -> None:
    fill(memory, "/in/a.png")
    (tmp_path / "ir").mkdir()
    write_image(tmp_path / "ir/a.png", np.zeros((4, 4), np.uint8))
    works, _ = pair_works(Places(str(tmp_path / "ir"), "memory://in", str(tmp_path / "out")))
    assert works == [Work("a", str(tmp_path / "ir/a.png"), "memory://in/a.png", str(tmp_path / "out/a.png"))]
    (pair,) = brought(works, [0], tmp_path / "copies", addresses.read_bytes)
    assert pair.ir == tmp_path / "ir/a.png"
    assert pair.vis.read_bytes() == b"/in/a.png"
    assert pair.vis.name == "a.png"


@pytest.mark.parametrize(
    ("out", "recursive"), [("memory://in/ir", False), ("memory://in/ir/", False), ("memory://in/ir/x", True)]
)
def test_results_among_the_inputs_are_refused(memory: Any, out: str, recursive: bool) -> None:
    fill(memory, "/in/ir/a.png", "/in/vis/a.png")
    with pytest.raises(UsageError, match="another"):
        pair_works(Places("memory://in/ir", "memory://in/vis", out), Naming(recursive=recursive))


def test_what_is_not_there(memory: Any) -> None:
    with pytest.raises(UserError, match="memory://nowhere"):
        pair_works(Places("memory://nowhere", "memory://in/vis", "memory://out"))
    with pytest.raises(UnreadableError, match=r"memory://in/x\.png: there is no such file"):
        addresses.read_bytes("memory://in/x.png")
    with pytest.raises(UsageError, match="nonsense"):
        addresses.list_folder("nonsense://in")


@pytest.mark.parametrize("place", ["memory://out/a.png", "path"])
def test_of_two_runs_only_the_first_writes(memory: Any, tmp_path: Path, place: str) -> None:
    place = str(tmp_path / "a.png") if place == "path" else place
    addresses.store(place, b"one", replace=False)
    addresses.store(place, b"one", replace=False)
    with pytest.raises(UserError, match="come from another run"):
        addresses.store(place, b"two", replace=False)
    read = addresses.read_bytes(place) if "://" in place else Path(place).read_bytes()
    assert read == b"one"
    addresses.store(place, b"two", replace=True)
    assert not [path for path in tmp_path.iterdir() if path.name != "a.png"]


def test_two_threads_one_name(tmp_path: Path) -> None:
    barrier, failed = threading.Barrier(8), list[str]()

    def write(content: bytes) -> None:
        barrier.wait()
        try:
            write_bytes(tmp_path / "a.png", content, replace=False)
        except UserError as error:
            failed.append(str(error))

    threads = [threading.Thread(target=write, args=(bytes([number]) * 9999,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(failed) == 7
    assert len(set((tmp_path / "a.png").read_bytes())) == 1
    assert len(list(tmp_path.iterdir())) == 1


def test_a_result_that_came_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cmmdl.fusion import folder

    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
        for stem in "ab":
            write_image(tmp_path / side / f"{stem}.png", np.full((8, 9), 40, np.uint8))
    plain = folder.prepare_folder

    def other_run(out: Path) -> None:
        plain(out)
        (out / "a.png").write_bytes(b"of another run")

    monkeypatch.setattr(folder, "prepare_folder", other_run)
    call = ["fuse", str(tmp_path / "ir"), str(tmp_path / "vis"), "-o", str(tmp_path / "out"), "--model", "mean"]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 3
    assert "a.png has come from another run, and differs: it is kept" in result.stderr
    assert (tmp_path / "out/a.png").read_bytes() == b"of another run"
    assert (tmp_path / "out/b.png").is_file()


def test_a_cluster_of_this_computer_has_no_address_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cmmdl.fusion.cluster.nodes.installed", lambda name: True)
    for address in ("auto", "local"):
        check_answers(address)


def test_the_ledger_counts_what_is_begun_again() -> None:
    ledger = Ledger()
    assert [ledger.begin(3), ledger.begin(4), ledger.begin(3)] == [1, 1, 2]
    ledger.end(3, "first")
    ledger.end(3, "second")
    assert ledger.known([3, 4, 5]) == [(2, "first"), (1, ""), (0, "")]
    assert ledger.ended() == ["first"]
    assert ledger.repeated() == 1


def test_the_ledger_counts_the_workers_that_came() -> None:
    ledger = Ledger()
    for pool in (1, 1, 3):
        ledger.join(pool)
    assert ledger.workers() == [2, 1], "of the first and of the third pool; nobody joined the second"


@pytest.mark.parametrize(
    ("came", "said"),
    [([2], "by 2 workers on cpu,"), ([1], "by 1 worker on cpu,"), ([2, 3, 1], "by 1 worker (2 at first) on cpu,")],
)
def test_the_workers_that_came_are_told(capsys: pytest.CaptureFixture[str], came: list[int], said: str) -> None:
    run = Run([], cast(Any, None), plan=Plan(4, 1), workers=came, rounds=len(came))
    asked = {"quiet": False, "as_json": False, "model": "max"}
    facts = _tell_run(run, {0: Told(0, on="cpu")}, 2.0, Places("a", "b", "out"), asked)
    assert facts["workers"] == came[-1]
    assert said in "".join(capsys.readouterr())


def test_told_as_text_and_back() -> None:
    told = Told(4, "ü: bad", "shifted", {"max": 1.5}, notes=[(True, False, "a", "b")], on="cpu")
    back = Told.of_text(told.as_text())
    assert (back.number, back.error, back.report, list(map(tuple, back.notes))) == (
        4, "ü: bad", {"max": 1.5}, told.notes,
    )  # fmt: skip


def node(cpus: float, gpus: float = 0) -> dict[str, Any]:
    return {"Resources": {"CPU": cpus, "GPU": gpus} if gpus else {"CPU": cpus}}


@pytest.mark.parametrize(
    ("nodes", "asked", "expected"),
    [
        ([node(8), node(4)], {"device": "auto", "threads": None}, Plan(6, 2)),
        ([node(1), node(4)], {"device": "auto", "threads": None}, Plan(5, 1)),
        ([node(8), node(3)], {"device": "cpu", "threads": 4}, Plan(2, 4)),
        ([node(8), node(8)], {"device": "auto", "threads": 1, "most": 3}, Plan(3, 1)),
        ([node(8, 2), node(8)], {"device": "auto", "threads": None}, Plan(2, 1, 1)),
        ([node(8, 2), node(8)], {"device": "cpu", "threads": 8}, Plan(2, 8)),
    ],
)
def test_the_pool(nodes: list[dict[str, Any]], asked: dict[str, Any], expected: Plan) -> None:
    assert plan(nodes, **asked) == expected


def test_no_room() -> None:
    with pytest.raises(UserError, match="fewer --threads"):
        plan([node(2)], device="auto", threads=4)
    with pytest.raises(UserError, match="no GPU"):
        plan([node(2)], device="cuda", threads=None)
    with pytest.raises(UsageError, match="device of its own"):
        plan([node(2, 1)], device="cuda:1", threads=None)


@pytest.mark.parametrize("text", ["", "nowhere", "a:b", "host:0", "host:70000", "ray://host:10001", "http://host:1"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="--ray"):
        check_address(text)


def test_files_of_a_model_are_carried(tmp_path: Path) -> None:
    for name in ("net.xml", "net.bin"):
        (tmp_path / name).write_bytes(name.encode())
    assert carried(str(tmp_path / "net.xml")) == ("net.xml", {"net.xml": b"net.xml", "net.bin": b"net.bin"})
    assert carried("cmmdl-rt") == ("cmmdl-rt", {})
    assert carried_transform(None) == {}
    with pytest.raises(UserError, match=r"none\.json"):
        carried_transform(tmp_path / "none.json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for side in ("ir", "vis"):
        (tmp_path / side).mkdir()
        write_image(tmp_path / side / "a.png", np.full((8, 9), 40, np.uint8))
    return tmp_path


def fuse(folder: Path, *more: str) -> Any:
    call = ["fuse", str(folder / "ir"), str(folder / "vis"), "-o", str(folder / "out"), "--model", "mean", *more]
    return CliRunner().invoke(main, call)


@needs_ray
def test_an_address_that_does_not_answer(folder: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    result = fuse(folder, "--ray", f"127.0.0.1:{port}")
    assert result.exit_code == 1
    assert f"127.0.0.1:{port} does not answer" in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "out").exists()


def test_without_the_extra(folder: Path) -> None:
    code = (
        "import sys; sys.modules['ray'] = None\n"
        f"from cmmdl.cli import main\nmain(['fuse', {str(folder / 'ir')!r}, {str(folder / 'vis')!r}, '-o', "
        f"{str(folder / 'out')!r}, '--ray', 'auto'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "pip install 'cmmdl[ray]'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_node_without_the_package() -> None:
    cloudpickle = pytest.importorskip("ray.cloudpickle", reason='needs pip install "cmmdl[ray]"')
    from cmmdl.fusion.cluster.sight import looker

    code = (
        "import sys, pickle; sys.modules['cmmdl'] = None\n"
        "print(pickle.load(sys.stdin.buffer)({'version': '1', 'files': []}))"
    )
    sent = cloudpickle.dumps(looker())
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True)
    assert "lacks" in done.stdout.decode(), done.stderr
    assert "cmmdl[ray]" in done.stdout.decode()


@pytest.mark.parametrize(
    "more",
    [("--ray", "nonsense"), ("--ray", "auto", "--shard", "3/2"), ("--workers", "2"), ("--ray", "auto", "--fps", "9")],
)
def test_wrong_usage(folder: Path, more: tuple[str, ...]) -> None:
    result = fuse(folder, *more)
    assert result.exit_code == 2
    assert not (folder / "out").exists()


def test_addresses_need_ray(folder: Path) -> None:
    call = ["fuse", str(folder / "ir"), str(folder / "vis"), "-o", "s3://bucket/out"]
    result = CliRunner().invoke(main, call)
    assert result.exit_code == 2
    assert "--ray" in result.stderr
