"""The application: routes, errors, the gate in front of them, the console at the root."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Match
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from muniment import __version__
from muniment.api import (
    access,
    attachments,
    completeness,
    docs,
    explain,
    fleet,
    health,
    history,
    mirrors,
    read,
    retention,
    schemas,
    search,
    segments,
    stores,
    tail,
    tiles,
    worm,
)
from muniment.api.context import Context
from muniment.api.gate import Gate
from muniment.api.metrics import registry
from muniment.api.probes import PROBES, Probes
from muniment.api.problems import (
    ClientGone,
    on_defect,
    on_http_error,
    on_invalid_request,
    on_muniment_error,
)
from muniment.api.write import append
from muniment.console import static_directory
from muniment.errors import MunimentError
from muniment.receive.port import Count

WRITE_PATH = "/api/v1/logs/{log}/entries"


class Console(StaticFiles):
    """The console's files; a browser asks each time whether they have changed."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Returns a file with its caching header. Raises HTTPException where there is none."""
        if scope["method"] != "GET":
            raise HTTPException(404)
        response = await super().get_response(path, scope)
        response.headers.setdefault("cache-control", "no-cache")
        return response


def build_app(context: Context, counts: Sequence[Count] = ()) -> ASGIApp:
    """Returns the ASGI application: all but the writes, which the protocol takes.

    `counts` are the receivers' numbers for the metrics page.
    """
    routes = _routes(context, counts)
    app = Probes(routes, context, context.guard, PROBES, partial(_is_own, routes, _files()))
    return Gate(app, context.guard, context.meters)


def _is_own(routes: FastAPI, files: frozenset[str], scope: Scope) -> bool:
    """Whether a path is the console's, or that of a route, rather than a log protocol's.

    The root is the console's for who asks for HTML.
    """
    path: str = scope["path"]
    if path == "/":
        return any(k == b"accept" and b"text/html" in v for k, v in scope["headers"])
    return path in files or any(
        route.matches(scope)[0] is not Match.NONE for route in routes.routes
    )


def _files() -> frozenset[str]:
    root = static_directory()
    return frozenset(f"/{path.relative_to(root).as_posix()}" for path in root.rglob("*"))


def _routes(context: Context, counts: Sequence[Count]) -> FastAPI:
    app = FastAPI(
        title="Muniment",
        version=__version__,
        description="The evidence log for load balancers and Kubernetes ingress.",
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            MunimentError: on_muniment_error,
            HTTPException: on_http_error,
            RequestValidationError: on_invalid_request,
            ClientGone: _on_client_gone,
            Exception: on_defect,
        },
    )
    app.state.context = context
    app.state.registry = registry(context, counts)
    _add_write_route(app)
    for part in (
        read,
        tiles,
        search,
        tail,
        history,
        explain,
        completeness,
        stores,
        access,
        health,
        fleet,
        attachments,
        retention,
        worm,
        segments,
        mirrors,
    ):
        app.include_router(part.router)
    app.router.routes.extend(docs.ROUTES)
    app.router.default = Console(directory=static_directory(), html=True)
    app.openapi = lambda: docs.document(app)  # type: ignore[method-assign]
    return app


def _add_write_route(app: FastAPI) -> None:
    app.add_api_route(
        WRITE_PATH,
        append,
        methods=["POST"],
        status_code=201,
        response_model=schemas.Receipt,
        responses=schemas.problems(404, 408, 409, 411, 413, 415, 429, 503),
        tags=["write"],
        openapi_extra=schemas.WRITE,
    )


async def _on_client_gone(request: Request, error: Exception) -> Response:  # noqa: ARG001
    return Response(status_code=408)
