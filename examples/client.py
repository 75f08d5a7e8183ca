"""Asks a server that `cmmdl serve` started: python examples/client.py IR VIS OUT [URL]"""

import sys
import time
from pathlib import Path

import httpx


def main(ir: str, vis: str, out: str, url: str = "http://127.0.0.1:8000") -> None:
    while True:
        files = {"ir": Path(ir).read_bytes(), "vis": Path(vis).read_bytes()}
        answer = httpx.post(f"{url}/fuse", files=files, data={"format": "png"}, timeout=120)
        if answer.status_code != 503:
            break
        time.sleep(int(answer.headers["retry-after"]))  # the queue is full
    if answer.status_code != 200:
        sys.exit(answer.json()["detail"])
    Path(out).write_bytes(answer.content)
    print(f"{out}: {answer.headers['x-cmmdl-model']}, {answer.headers['x-cmmdl-seconds']} s")


if __name__ == "__main__":
    main(*sys.argv[1:])
