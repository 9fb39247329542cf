"""The documentation: the OpenAPI document, and Swagger UI from the files that come along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import swagger_ui_bundle
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from muniment.api.problems import plain_problem
from muniment.api.schemas import Problem, problems

OPENAPI_VERSION = "3.0.3"
"""What the bundled Swagger UI reads."""

_FILES = {
    "swagger-ui.css": "text/css",
    "swagger-ui-bundle.js": "text/javascript",
    "favicon-32x32.png": "image/png",
}
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Muniment API</title>
<link rel="icon" href="/docs/favicon-32x32.png">
<link rel="stylesheet" href="/docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""
_START = """SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null,
});
"""


async def page(request: Request) -> Response:  # noqa: ARG001
    """The page: markup only, for the policy allows no inline script."""
    return HTMLResponse(_PAGE)


async def asset(request: Request) -> Response:
    """The files of the page."""
    name = request.path_params["name"]
    if name == "start.js":
        return Response(_START, media_type="text/javascript")
    if name not in _FILES:
        return plain_problem(404, f"there is nothing at {request.url.path}")
    path = Path(str(swagger_ui_bundle.swagger_ui_path)) / name
    return FileResponse(path, media_type=_FILES[name], headers={"cache-control": "max-age=3600"})


async def openapi(request: Request) -> Response:
    """The OpenAPI document."""
    app: FastAPI = request.app
    return Response(orjson.dumps(app.openapi()), media_type="application/json")


ROUTES = [Route("/docs", page), Route("/docs/{name}", asset), Route("/openapi.json", openapi)]


def document(app: FastAPI) -> dict[str, Any]:
    """Returns the OpenAPI document of the application's routes, made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            openapi_version=OPENAPI_VERSION,
            description=app.description,
            routes=app.routes,
        )
        _complete(found)
        app.openapi_schema = found
    return app.openapi_schema


def _complete(document: dict[str, Any]) -> None:
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    schemas.pop("HTTPValidationError", None)
    schemas.pop("ValidationError", None)
    security = document["components"].setdefault("securitySchemes", {})
    security["token"] = {"type": "http", "scheme": "bearer", "description": "mun_<id>_<secret>"}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            answers = operation["responses"]
            answers.pop("422", None)
            if path.startswith(("/api/", "/tlog/", "/metrics")):
                operation["security"] = [{"token": []}, {}]
                for status, answer in problems().items():
                    answers.setdefault(str(status), answer)
