"""``cmmdl serve``: fusing over HTTP, with a page for the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cmmdl.errors import UserError


@click.command("serve")
@click.option(
    "--model", "models", multiple=True, metavar="NAME_OR_PATH",
    default=["cmmdl-rt", "cmmdl-ivf", "cmmdl-mif-rt", "cmmdl-mif"], show_default=True,
    help="May be repeated; requests get the first unless they name another.",
)  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 is every network.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option(
    "--allow-host", "allowed_hosts", multiple=True, metavar="NAME", help="Answer requests for this host name too."
)
@click.option("--max-file", type=click.IntRange(1), default=32, show_default=True, metavar="MIB", help="Largest file.")
@click.option("--max-pixels", type=click.IntRange(1), default=40_000_000, show_default=True, metavar="N")
@click.option(
    "--queue", type=click.IntRange(1), default=8, show_default=True, help="Fusions that may wait; more get 503."
)
@click.option(
    "--seconds", type=click.FloatRange(0), default=120, show_default=True, help="Longest fusion; 0 means no limit."
)
@click.option("--threads", type=click.IntRange(1), help="CPU threads  [default: all cores]")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1, ...")
@click.option(
    "--local",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Serve the page that fuses in the browser under /local; `make web` builds it into web/dist.",
)
def command(models: tuple[str, ...], max_file: int, **given: Any) -> None:
    """Serve fusion over HTTP, with a page for the browser. Stop it with Ctrl-C.

    \b
    Examples:
      cmmdl serve                                     # then open http://127.0.0.1:8000
      cmmdl serve --model cmmdl-rt --model cmmdl-ivf --port 9000
      cmmdl serve --local web/dist                    # then open http://127.0.0.1:8000/local/
      curl -F ir=@ir.png -F vis=@vis.png http://127.0.0.1:8000/fuse -o fused.png
    """  # noqa: D301
    try:
        from cmmdl.serve.app import create_app
        from cmmdl.serve.listening import listen
    except ImportError as error:
        raise UserError('the server is not installed: pip install "cmmdl[serve]"') from error
    from cmmdl.files.reading import quiet_decoders
    from cmmdl.serve.settings import Settings

    quiet_decoders()
    settings = Settings(models=models, max_file_bytes=max_file * 2**20, **given)
    app = create_app(settings)
    if settings.host not in ("127.0.0.1", "localhost", "::1"):
        click.echo(f"note: reachable from every computer that reaches {settings.host}; there is no login", err=True)
    server, socket = listen(app, settings)
    click.echo(f"http://{settings.host}:{socket.getsockname()[1]} (Ctrl-C stops)", err=True)
    server.run([socket])
