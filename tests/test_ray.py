"""``cmmdl fuse --ray`` on two nodes of this computer, with a bucket beside them; a node and a worker are killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from cmmdl.files.images import write_image
from cmmdl.scenes import synthetic_pair

pytest.importorskip("ray.data", reason='needs pip install -e ".[dev,ray]"')
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

COUNT = 24
MEMORY = 100 * 2**20


@pytest.fixture(scope="module")
def bucket() -> Iterator[Any]:
    """A client of a local S3 with a bucket ``pictures``; its address is in the environment, as the nodes inherit it."""
    server_module = pytest.importorskip("moto.server", reason="needs pip install 'moto[s3,server]' boto3")
    boto3 = pytest.importorskip("boto3")
    server = server_module.ThreadedMotoServer(port=0)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        client = boto3.client("s3")
        client.create_bucket(Bucket="pictures")
        yield client
    server.stop()


@pytest.fixture(scope="module")
def cluster(bucket: Any) -> Iterator[Any]:
    """Two nodes of one CPU each."""
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_worker_niceness", "0")  # beside other programs workers would hardly get a turn
        patch.setenv("OMP_NUM_THREADS", "1")
        head = {"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False}
        made = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield made
        finally:
            made.shutdown()


@pytest.fixture
def two_nodes(cluster: Any) -> Any:
    """The second node of the cluster, started anew if a test has killed it."""
    nodes = list(cluster.worker_nodes)
    return nodes[0] if nodes else cluster.add_node(num_cpus=1, object_store_memory=MEMORY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pairs of 16 bits with values of their own, one damaged, one alone; and the local run's results of all."""
    place = tmp_path_factory.mktemp("pairs")
    for number in range(COUNT):
        ir, vis = synthetic_pair(240, 320, seed=number)
        write_image(at(place, "ir", number), 5000 + 40 * number + 4 * ir.astype(np.uint16))
        write_image(at(place, "vis", number), vis)
    at(place, "vis", 5).write_bytes(at(place, "vis", 5).read_bytes()[:200])
    write_image(at(place, "ir", 90), np.zeros((9, 9), np.uint16))
    status, said = ended(fuse(place / "ir", place / "vis", place / "local"))
    assert status == 3, said
    return place


def at(place: Path, side: str, number: int) -> Path:
    (place / side).mkdir(exist_ok=True)
    return place / side / f"{number:02}.png"


def fuse(*sides: Any, ray: Any = None, more: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """Starts the command in a process of its own."""
    *inputs, out = map(str, sides)
    call = [sys.executable, "-m", "cmmdl", "fuse", *inputs, "-o", out, "--model", "cmmdl-rt", *more]
    call += ["--ray", ray.address] if ray is not None else []
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(run: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = run.communicate(timeout=400)
    return run.returncode, out + err


def contents(folder: Path) -> dict[str, bytes]:
    """All of it, half-written files too."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def in_bucket(client: Any, prefix: str) -> dict[str, bytes]:
    listed = client.list_objects_v2(Bucket="pictures", Prefix=f"{prefix}/").get("Contents", [])
    return {
        one["Key"].removeprefix(f"{prefix}/"): client.get_object(Bucket="pictures", Key=one["Key"])["Body"].read()
        for one in listed
    }


def when(happens: Callable[[], bool], run: subprocess.Popen[str]) -> None:
    """Waits until something has happened while the command runs."""
    for _ in range(4000):
        if happens():
            return
        assert run.poll() is None, run.communicate()
        time.sleep(0.05)
    raise AssertionError("it has not happened")


def workers_of(node: Any) -> list[psutil.Process]:
    """The processes that fuse on a node."""
    raylet = psutil.Process(node.all_processes["raylet"][0].process.pid)
    return [child for child in raylet.children(recursive=True) if "MapWorker" in name_of(child)]


def fuses(node: Any) -> bool:
    """Whether a worker of a node has a block in hand; Ray writes what a process does into its title."""
    return any(").submit" in name_of(worker) for worker in workers_of(node))


def name_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:  # it has just ended
        return ""


def test_the_results_are_those_of_the_local_run(cluster: Any, two_nodes: Any, folder: Path) -> None:
    status, said = ended(fuse(folder / "ir", folder / "vis", folder / "there", ray=cluster))
    assert status == 3, said
    assert contents(folder / "there") == contents(folder / "local")
    assert "05: " in said
    assert f"{folder / 'vis'}/05.png is truncated or damaged" in said
    assert "90.png: no picture '90' in" in said
    assert f"{COUNT - 1} fused in" in said
    assert "by 2 workers" in said
    assert "pictures a second" in said
    assert "begun again" not in said
    again, said = ended(fuse(folder / "ir", folder / "vis", folder / "there", ray=cluster))
    assert again == 1
    assert "results exist; pass --skip-existing" in said


def test_a_node_is_killed(cluster: Any, two_nodes: Any, folder: Path) -> None:
    out = folder / "one_node_lost"
    run = fuse(folder / "ir", folder / "vis", out, ray=cluster, more=("--json",))
    when(lambda: fuses(two_nodes) and len(list(out.glob("*.png"))) >= 1, run)
    cluster.remove_node(two_nodes, allow_graceful=False)
    status, said = ended(run)
    assert status == 3, said
    assert contents(out) == contents(folder / "local")
    told = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert len(told["done"]) == len(set(told["done"])) == COUNT - 1
    assert told["pools"] >= 2
    assert told["workers"] == 1, "of the node that is left"


# Blocks of these runs have three pairs: with four results one block at least is begun and not ended.


def test_workers_are_killed(cluster: Any, two_nodes: Any, folder: Path) -> None:
    out = folder / "one_worker_lost"
    run = fuse(folder / "ir", folder / "vis", out, ray=cluster)
    when(lambda: bool(workers_of(two_nodes)) and out.is_dir() and len(list(out.glob("*.png"))) >= 4, run)
    for worker in [*workers_of(two_nodes), *workers_of(cluster.head_node)]:
        os.kill(worker.pid, signal.SIGKILL)
    status, said = ended(run)
    assert status == 3, said
    assert contents(out) == contents(folder / "local")
    assert "begun again, since a worker or node was lost; every result is there once" in said


def test_a_bucket(cluster: Any, two_nodes: Any, folder: Path, bucket: Any) -> None:
    for side in ("ir", "vis"):
        for path in (folder / side).iterdir():
            bucket.put_object(Bucket="pictures", Key=f"in/{side}/{path.name}", Body=path.read_bytes())
    places = ("s3://pictures/in/ir", "s3://pictures/in/vis", "s3://pictures/out")
    status, said = ended(fuse(*places, ray=cluster, more=("--shard", "1/2")))
    assert status == 3, said
    assert "s3://pictures/in/ir/90.png: no picture '90' in s3://pictures/in/vis" in said
    half = in_bucket(bucket, "out")
    assert len(half) == COUNT // 2
    status, said = ended(fuse(*places, ray=cluster, more=("--skip-existing",)))
    assert status == 3, said
    assert f"{COUNT // 2} existing skipped" in said
    assert "s3://pictures/in/vis/05.png is truncated or damaged" in said
    assert in_bucket(bucket, "out") == contents(folder / "local")
    listed = bucket.list_objects_v2(Bucket="pictures", Prefix="out/")["Contents"]
    assert all(one["Key"].endswith(".png") for one in listed), "nothing half-written"


def test_two_runs_into_one_place(cluster: Any, two_nodes: Any, folder: Path, bucket: Any) -> None:
    for side in ("ir", "vis"):
        for number in range(3):
            body = at(folder, side, number).read_bytes()
            bucket.put_object(Bucket="pictures", Key=f"few/{side}/{number}.png", Body=body)
    places = ("s3://pictures/few/ir", "s3://pictures/few/vis", "s3://pictures/shared")
    run = fuse(*places, ray=cluster, more=("--workers", "1"))
    when(lambda: bool(workers_of(two_nodes) or workers_of(cluster.head_node)), run)
    bucket.put_object(Bucket="pictures", Key="shared/2.png", Body=b"of another run")
    status, said = ended(run)
    assert status == 3, said
    assert "s3://pictures/shared/2.png has come from another run, and differs: it is kept" in said
    assert in_bucket(bucket, "shared")["2.png"] == b"of another run"
    assert len(in_bucket(bucket, "shared")) == 3


def test_a_bucket_that_refuses(cluster: Any, two_nodes: Any, folder: Path, bucket: Any) -> None:
    status, said = ended(fuse("s3://nowhere/ir", "s3://nowhere/vis", "s3://pictures/x", ray=cluster))
    assert (status, said.count("\n")) == (1, 1), said
    assert "s3://nowhere/ir cannot be listed" in said
    status, said = ended(fuse(folder / "ir", folder / "vis", "s3://nowhere/out", ray=cluster))
    assert status == 1, said
    assert "s3://nowhere/out" in said
    assert "cannot be" in said


def test_a_node_that_lacks_the_package(cluster: Any, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cmmdl").mkdir()
    (tmp_path / "cmmdl/__init__.py").write_text("raise ModuleNotFoundError(\"No module named 's3fs'\", name='s3fs')\n")
    poor = cluster.add_node(num_cpus=1, object_store_memory=MEMORY, env_vars={"PYTHONPATH": str(tmp_path)})
    try:
        status, said = ended(fuse(folder / "ir", folder / "vis", folder / "poor", ray=cluster))
    finally:
        cluster.remove_node(poor, allow_graceful=False)
    assert status == 1, said
    assert "lacks s3fs: pip install 'cmmdl[ray]' there too" in said
    assert not list((folder / "poor").iterdir()), "nothing was fused"
