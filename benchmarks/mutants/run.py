"""Change the code at random, one small slip at a time, and count how many of them the tests notice.

    python benchmarks/mutants/run.py --count 400 --seed 13
    python benchmarks/mutants/run.py --count 20 --rooms files --show
    python benchmarks/mutants/run.py --again
    python benchmarks/mutants/run.py --again tests/test_slips.py

A mutant is a copy of the project with one mutation (`mutations.py`). Which tests run the changed line is measured
once, by a run of the tests below under `coverage`, and kept beside the results; a mutant is given to those tests
alone, the quickest first, and the first that fails kills it. A line that runs on import is given to all tests that
run anything of its file. Each mutant's tests run in a process that is forked off one that has imported torch already,
so it needs POSIX.

Everything happens in ``--folder``: the project as it was when the first run began, the map of tests, the results. The
working tree may change meanwhile. A run that was stopped goes on where it was. ``--again`` takes the project as it
is now, tests included, and tries the survivors once more; with files of tests, by those alone. A folder holds one
sample: give another seed another folder.

Survivors that change nothing, say an epsilon below rounding, stand with their reason in ``equivalent.txt`` and do not
count.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path

from mutations import Mutation, mutations_of

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ROOMS = ("metrics", "fusion", "files", "weights")
TESTS = (
    "addresses",
    "bad_input",
    "batch",
    "cards",
    "cli_align",
    "cli_fuse",
    "cli_thermal",
    "clip",
    "colour",
    "details",
    "fitting",
    "formats",
    "fuser",
    "images",
    "metadata",
    "metrics",
    "painting",
    "pairs",
    "ranges",
    "shards",
    "sheets",
    "slips",
    "steady",
    "streams",
    "temperatures",
    "thermal",
    "tiling",
    "weights",
)
"""The files of tests that these rooms are tested by: ``tests/test_NAME*.py``."""

NOT_MEASURED = "not kill_9 and not disk_full and not clipped and not without_an_import and not ulimit"
"""Tests that start processes of their own or train; what they run there is not seen anyway."""

PARTS = ("src", "tests", "docs", "examples", "configs", "benchmarks", "pyproject.toml", "README.md", "CITATION.cff",
         "CHANGELOG.md", "CONTRIBUTING.md", "constraints.txt", "Makefile")  # fmt: skip
ALIVE = ("survived", "untested")

MOST_SECONDS = 60
"""CPU time of a mutant's tests; who needs more is taken for an endless loop, and killed."""

LOOKS = 300
"""So often, five times a second, a mutant is looked at; who computes nothing all the while waits for ever."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=400, help="how many mutants [400]")
    parser.add_argument("--seed", type=int, default=13, help="of the random sample [13]")
    parser.add_argument("--rooms", nargs="+", default=list(ROOMS), help="packages below cmmdl")
    parser.add_argument("--workers", type=int, default=1, help="processes [1]")
    parser.add_argument("--folder", type=Path, default=ROOT / ".mutants", help="where results are kept [.mutants]")
    parser.add_argument(
        "--again", nargs="*", metavar="TESTS", help="try the survivors again, with the project as it is now"
    )
    parser.add_argument("--report", action="store_true", help="only count what has been tried so far")
    parser.add_argument("--show", action="store_true", help="print each mutant")
    options = parser.parse_args()
    folder: Path = options.folder.resolve()
    results = folder / "results.jsonl"
    sample = frozen_sample(folder, options)
    if not options.report:
        outcomes, again = read(results), options.again is not None
        todo = [one for one in sample if outcomes.get(one.name) in (ALIVE if again else (None,))]
        covered = {} if options.again else coverage_map(folder, again)
        in_processes(todo, covered, folder, options)
    report(sample, read(results), options.seed)


def frozen_sample(folder: Path, options: argparse.Namespace) -> list[Mutation]:
    """Copies the project if that has not been done yet, and draws from the copy.

    Where the project is taken anew, the sample stays what it was; for code that is no longer there, more is drawn.
    """
    project, drawn = folder / "project", folder / "sample.json"
    before = json.loads(drawn.read_text()) if drawn.exists() else None
    if options.again is not None or not project.exists():
        folder.mkdir(parents=True, exist_ok=True)
        copy_project(ROOT, project)
    known = mutations_by_name(project, options.rooms)
    names = [name for name in before or () if name in known]
    others = [name for name in known if name not in names]
    names += random.Random(options.seed).sample(others, max(0, min(options.count - len(names), len(others))))
    drawn.write_text(json.dumps(names))
    return [known[name] for name in names[: options.count]]


def copy_project(source: Path, copy: Path) -> None:
    """The files that tests look at."""
    shutil.rmtree(copy, ignore_errors=True)
    copy.mkdir()
    for part in PARTS:
        place = source / part
        if place.is_dir():
            shutil.copytree(place, copy / part, ignore=shutil.ignore_patterns("__pycache__"))
        elif place.exists():
            shutil.copy2(place, copy / part)


def mutations_by_name(project: Path, rooms: list[str]) -> dict[str, Mutation]:
    """All mutations of the rooms."""
    files = [file for room in rooms for file in sorted((project / "src/cmmdl" / room).rglob("*.py"))]
    return {mutation.name: mutation for file in files for mutation in mutations_of(file, project)}


def coverage_map(folder: Path, again: bool) -> dict[str, dict[str, list[str]]]:
    """File -> line -> the tests that run it, quickest first; line "0" holds those that run anything of the file."""
    file, project = folder / "coverage.json", folder / "project"
    if again or not file.exists():
        print("measuring which tests run which line ...", flush=True)
        tests = [path for name in TESTS for path in sorted((project / "tests").glob(f"test_{name}*.py"))]
        command = [sys.executable, "-m", "pytest", "-n0", "-q", "-k", NOT_MEASURED, "-p", "measuring", *map(str, tests)]
        sources = os.pathsep.join(f"{project}/src/cmmdl/{room}/*" for room in ROOMS)
        told = {"MUTANTS_MAP": str(file), "MUTANTS_FILES": sources}
        subprocess.run(command, cwd=project, env={**_environment(project, HERE), **told}, check=False)
    stored: dict[str, dict[str, list[str]]] = json.loads(file.read_text())
    return {Path(path).relative_to(project).as_posix(): lines for path, lines in stored.items()}


def _environment(*places: Path) -> dict[str, str]:
    paths = os.pathsep.join([str(places[0] / "src"), *map(str, places[1:])])
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}


def in_processes(
    todo: list[Mutation], covered: dict[str, dict[str, list[str]]], folder: Path, options: argparse.Namespace
) -> None:
    """Deals the mutants out to the workers and waits for them."""
    workers: list[int] = []
    for number in range(options.workers):
        process = os.fork()
        if process == 0:
            work(todo[number :: options.workers], covered, folder, f"copy{number}", options)
            os._exit(0)
        workers.append(process)
    for process in workers:
        os.waitpid(process, 0)


def work(
    todo: list[Mutation], covered: dict[str, dict[str, list[str]]], folder: Path, name: str, options: argparse.Namespace
) -> None:
    """Runs the tests of one mutant after the other in a copy of the project, and notes what became of each."""
    copy, results = folder / name, folder / "results.jsonl"
    copy_project(folder / "project", copy)
    os.environ.update(_environment(copy))
    sys.path[:0] = [str(copy / "src"), str(copy / "tests")]
    for module in imported_by_tests(copy / "tests"):
        with suppress(ImportError):
            import_module(module)  # once, before any fork
    times = count(int(time.time()))
    for mutation in todo:
        started = time.monotonic()
        lines = covered.get(mutation.file, {})
        tests = options.again or lines.get(str(mutation.line)) or lines.get("0", [])
        file = copy / mutation.file
        text = file.read_text(encoding="utf-8")
        _write(file, mutation.applied(text), next(times))
        outcome = judge(copy, tests) if tests else "untested"
        _write(file, text, next(times))
        with results.open("a") as stream:
            stream.write(json.dumps({"name": mutation.name, "line": mutation.line, "outcome": outcome}) + "\n")
        if options.show or outcome in ALIVE:
            seconds = time.monotonic() - started
            print(f"{outcome} {seconds:.1f} s {mutation.file}:{mutation.line} {mutation.name}", flush=True)


def imported_by_tests(tests: Path) -> list[str]:
    """What test files import of other projects, which is not worth importing again for every mutant."""
    pattern = re.compile(r"^(?:import|from) ([a-zA-Z][\w.]*)", re.MULTILINE)
    names = {name for file in tests.glob("test_*.py") for name in pattern.findall(file.read_text(encoding="utf-8"))}
    own = {"cmmdl", *(file.stem for file in tests.rglob("*.py"))}
    return sorted(name for name in names if name.split(".")[0] not in own)


def _write(file: Path, text: str, when: int) -> None:
    """Writes a source whose time differs from that of any before, so that Python compiles it again."""
    file.write_text(text, encoding="utf-8")
    os.utime(file, (when, when))


def judge(copy: Path, tests: list[str]) -> str:
    """``killed``, ``endless`` or ``survived``."""
    process = os.fork()
    if process == 0:
        _run_tests(copy, tests)
    status = _end_of(process)
    if os.WIFSIGNALED(status):
        return "endless" if os.WTERMSIG(status) in (signal.SIGXCPU, signal.SIGALRM, signal.SIGKILL) else "killed"
    return "survived" if os.WEXITSTATUS(status) == 0 else "killed"


def _end_of(process: int) -> int:
    """Waits for a mutant; one that only waits itself is killed, one that a busy computer leaves little time is not."""
    used, idle = 0.0, 0
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return status
        now = _seconds_used(process)
        used, idle = (now, 0) if now > used + 0.1 else (used, idle + 1)
        if idle > LOOKS:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.2)


def _seconds_used(process: int) -> float:
    """CPU time of a process and of those that it has started."""
    import psutil

    with suppress(psutil.Error):
        parent = psutil.Process(process)
        return sum(sum(one.cpu_times()[:4]) for one in [parent, *parent.children(recursive=True)])
    return 0.0


def _run_tests(copy: Path, tests: list[str]) -> None:
    """In a process of its own: the tests, in their order, up to the first that fails.

    Time is limited as the processor's, so that a busy computer kills no mutant.
    """
    import resource

    import pytest

    os.chdir(copy)
    resource.setrlimit(resource.RLIMIT_CPU, (MOST_SECONDS, MOST_SECONDS + 5))
    signal.alarm(30 * MOST_SECONDS)  # for what waits, and looks up now and then
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    arguments = ["-n0", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:timeout", "--no-header", "--tb=no", *tests]
    os._exit(int(pytest.main(arguments)))


def read(results: Path) -> dict[str, str]:
    """Name of a mutant -> what became of it."""
    if not results.exists():
        return {}
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    return {row["name"]: row["outcome"] for row in rows}


def equivalent() -> dict[str, str]:
    """Name of a mutant that changes nothing -> why."""
    pairs = [line.split(" # ", 1) for line in (HERE / "equivalent.txt").read_text().splitlines() if " # " in line]
    return {name.strip(): reason.strip() for name, reason in pairs if not name.startswith("#")}


def report(sample: list[Mutation], outcomes: dict[str, str], seed: int) -> None:
    """Counts by room, and the survivors that are not known to change nothing."""
    known = equivalent()
    done = [mutation for mutation in sample if mutation.name in outcomes]
    rooms: dict[str, Counter[str]] = {}
    for mutation in done:
        outcome = outcomes[mutation.name]
        alive = outcome in ALIVE
        kind = "equal" if alive and mutation.name in known else "alive" if alive else "killed"
        rooms.setdefault(mutation.file.split("/")[2], Counter())[kind] += 1
        if kind == "alive":
            print(f"{outcome}  {mutation.file}:{mutation.line}  {mutation.name.split(' ', 1)[1]}")
    rooms["all"] = sum(rooms.values(), Counter[str]())
    for room, counts in rooms.items():
        judged = counts["killed"] + counts["alive"]
        share = f"{counts['killed'] / judged:.1%}" if judged else "-"
        print(f"{room.ljust(8)} {counts['killed']} of {judged} killed ({share}), {counts['equal']} change nothing")
    print(f"{len(done)} of {len(sample)} mutants tried, seed {seed}")


if __name__ == "__main__":
    main()
