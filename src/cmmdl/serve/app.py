"""The application: one route a function.

>>> from cmmdl.serve.app import create_app
>>> from cmmdl.serve.settings import Settings
>>> app = create_app(Settings(models=("cmmdl-rt",)))  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from starlette.requests import ClientDisconnect

from cmmdl.errors import TooLargeError, UnreadableError, UserError
from cmmdl.serve.bodies import BodyError, BodyGuard
from cmmdl.serve.counts import Counts
from cmmdl.serve.form import FuseForm, read_fields
from cmmdl.serve.fusing import Fusers, fuse_uploads
from cmmdl.serve.guards import HostGuard
from cmmdl.serve.jobs import BusyError, Jobs, OutOfTimeError
from cmmdl.serve.localpage import LocalPage
from cmmdl.serve.settings import Settings
from cmmdl.serve.uploads import FormError, read_form
from cmmdl.weights.cards import find_card

PAGE = Path(__file__).parent / "page"


def create_app(settings: Settings) -> FastAPI:
    """The server as an ASGI application.

    Args:
        settings: Models and limits. The first model is opened at once, so that a mistake shows early.

    Raises:
        UserError: If the first model cannot be opened, or there is no page in ``settings.local``.
    """
    fusers, jobs, counts = Fusers(settings), Jobs(settings.queue, settings.seconds), Counts()
    fusers.get(settings.models[0])

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        jobs.close()

    app = FastAPI(title="CMMDL", version=version("cmmdl"), docs_url=None, redoc_url=None, lifespan=lifespan)
    _add_fuse(app, settings, fusers, jobs, counts)
    _add_facts(app, settings, jobs, counts)
    if settings.local is not None:
        app.mount("/local", LocalPage(settings.local), name="local")
    app.mount("/", StaticFiles(directory=PAGE, html=True), name="page")
    app.add_middleware(BodyGuard, limits=settings.body_limits)
    app.add_middleware(HostGuard, hosts=settings.hosts)
    return app


def _add_fuse(app: FastAPI, settings: Settings, fusers: Fusers, jobs: Jobs, counts: Counts) -> None:
    @app.post("/fuse", openapi_extra=_form_schema(), response_class=Response, responses=_responses())
    async def fuse(request: Request) -> Response:
        """Fuse two uploaded pictures; the options are those of ``cmmdl fuse``."""
        response = await _answer(request, settings, fusers, jobs, counts)
        counts.requests.labels(response.status_code).inc()
        counts.waiting.set(jobs.waiting)
        return response


async def _answer(request: Request, settings: Settings, fusers: Fusers, jobs: Jobs, counts: Counts) -> Response:
    """The fused picture, or what is wrong in one line."""
    try:
        await _turn_away_if_full(request, jobs)
        files, fields = await read_form(request, settings.max_file_bytes)
        form = read_fields(fields)
        if "ir" not in files:
            raise FormError(422, "the file ir is missing")
        name = form.model or settings.models[0]
        fusers.check(name)
        pictures = files["ir"], files.get("vis"), form.options(), form.format
        more: dict[str, Any] = {"stretch": form.stretch, "products": form.products(), "show": form.show}
        answer = await jobs.run(lambda: fuse_uploads(fusers.get(name), *pictures, **more))
    except FormError as error:
        return problem(error.status, str(error))
    except BodyError as error:
        return problem(error.status, str(error), error.retry_after)
    except ClientDisconnect:
        return problem(400, "the request broke off")
    except BusyError as error:
        return problem(503, str(error), retry_after=error.retry_after)
    except OutOfTimeError:
        words = f"the fusion took longer than {settings.seconds:g} s; send a smaller picture or choose a faster model"
        return problem(503, words, retry_after=round(settings.seconds) or 1)
    except TooLargeError as error:
        return problem(413, str(error))
    except UnreadableError as error:
        return problem(415, str(error))
    except (UserError, ValueError) as error:
        return problem(422, str(error))
    counts.seconds.labels(name).observe(answer.seconds)
    headers = {"x-cmmdl-seconds": f"{answer.seconds:.3f}", "x-cmmdl-model": name, "cache-control": "no-store"}
    headers["x-cmmdl-notes"] = " | ".join(answer.notes).encode("ascii", "replace").decode()
    return Response(answer.data, media_type=answer.media_type, headers=headers)


async def _turn_away_if_full(request: Request, jobs: Jobs) -> None:
    """Where the queue is full, the body is read past without a look: what is left unread would break the connection."""
    try:
        jobs.check()
    except BusyError:
        async for _ in request.stream():
            pass
        raise


def _add_facts(app: FastAPI, settings: Settings, jobs: Jobs, counts: Counts) -> None:
    @app.get("/models")
    def models() -> list[dict[str, Any]]:
        """The models that requests may choose from; the first is the default."""
        cards = [(name, find_card(name)) for name in settings.models]
        return [
            {"name": name, "description": card.description if card else "", "licence": card.licence if card else ""}
            for name, card in cards
        ]

    @app.get("/health")
    def health() -> dict[str, Any]:
        """Whether the server is up, and how many fusions wait."""
        return {"status": "ok", "version": version("cmmdl"), "waiting": jobs.waiting, "queue": settings.queue}

    @app.get("/metrics", response_class=Response)
    def metrics() -> Response:
        """Counters in Prometheus's text format."""
        counts.waiting.set(jobs.waiting)
        return Response(counts.text(), media_type="text/plain; version=0.0.4")


def problem(status: int, reason: str, retry_after: int | None = None) -> JSONResponse:
    """An answer that says in one line what is wrong."""
    headers = {"retry-after": str(retry_after)} if retry_after is not None else None
    return JSONResponse({"detail": " ".join(reason.split())}, status, headers)


def _form_schema() -> dict[str, Any]:
    """What ``/openapi.json`` says of the form."""
    schema = FuseForm.model_json_schema()
    file = {"type": "string", "format": "binary"}
    properties = {"ir": file, "vis": file, **schema["properties"]}
    content = {"schema": {"type": "object", "required": ["ir"], "properties": properties}}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": content}}}


def _responses() -> dict[int | str, dict[str, Any]]:
    picture = {"schema": {"type": "string", "format": "binary"}}
    return {
        200: {
            "description": "The fused picture.",
            "content": {f"image/{kind}": picture for kind in ("png", "jpeg", "tiff")},
        },
        403: {"description": "Another host or origin."},
        408: {"description": "The request did not arrive in time."},
        413: {"description": "A file or picture that is too large."},
        415: {"description": "No picture, or a damaged one."},
        422: {"description": "Options or pictures that cannot be used."},
        503: {"description": "The queue is full, or the fusion took too long; see Retry-After."},
    }
