"""Errors as RFC 9457 problem details: one shape for every error that leaves the server."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from muniment.errors import (
    InputError,
    MunimentError,
    TryLater,
    Unauthenticated,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:muniment:problem:"

_logger = logging.getLogger(__name__)


class LengthRequired(InputError):
    """The request says neither how long its body is nor that it comes in chunks."""

    status = 411
    slug = "length-required"
    title = "The length of the body is missing"


class TooSlow(MunimentError):
    """The request did not arrive in time."""

    status = 408
    slug = "too-slow"
    title = "The request did not arrive in time"


class HeadTooLarge(InputError):
    """Request line and headers are over their bound."""

    status = 431
    slug = "head-too-large"
    title = "The request head is too large"


class ClientGone(Exception):
    """The client closed the connection; there is nobody to answer."""


def problem(error: MunimentError) -> dict[str, Any]:
    """Returns the problem object: type, title, status, detail; line and advice where known."""
    found: dict[str, Any] = {
        "type": TYPE_PREFIX + error.slug,
        "title": error.title,
        "status": error.status,
        "detail": error.detail,
    }
    if isinstance(error, InputError):
        if error.line is not None:
            found["line"] = error.line
        if error.advice:
            found["advice"] = error.advice
    if isinstance(error, TryLater):
        found["retry_after"] = error.retry_after
    return found


def headers_for(error: MunimentError) -> dict[str, str]:
    """Returns the headers that go with an error: when to come again, how to authenticate."""
    if isinstance(error, TryLater):
        return {"retry-after": str(error.retry_after)}
    if isinstance(error, Unauthenticated):
        return {"www-authenticate": 'Bearer realm="muniment"'}
    return {}


def problem_response(error: MunimentError) -> Response:
    """Returns the answer for an error."""
    return Response(
        orjson.dumps(problem(error)),
        error.status,
        {**headers_for(error), "cache-control": "no-store"},
        MEDIA_TYPE,
    )


def plain_problem(
    status: int, detail: str, headers: Mapping[str, str] | None = None, *, slug: str = ""
) -> Response:
    """Returns a problem of a bare HTTP status."""
    title = HTTPStatus(status).phrase
    body = {
        "type": TYPE_PREFIX + slug if slug else "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    return Response(
        orjson.dumps(body), status, {**(headers or {}), "cache-control": "no-store"}, MEDIA_TYPE
    )


async def on_muniment_error(request: Request, error: Exception) -> Response:
    """Answers the errors that Muniment raises on purpose."""
    assert isinstance(error, MunimentError)
    if error.status >= 500 and not isinstance(error, TryLater):
        _logger.error("%s %s: %s", request.method, request.url.path, error)
    return problem_response(error)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answers what the framework raises: no such route, another method."""
    assert isinstance(error, HTTPException)
    if error.status_code == HTTPStatus.NOT_FOUND:
        return plain_problem(404, f"there is nothing at {request.url.path}", error.headers)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"{request.url.path} does not take {request.method}"
        return plain_problem(405, detail, error.headers)
    return plain_problem(error.status_code, str(error.detail), error.headers)


async def on_invalid_request(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Answers parameters and JSON bodies that are not of the declared shape."""
    assert isinstance(error, RequestValidationError)
    found = []
    for one in error.errors()[:10]:
        place = ".".join(str(part) for part in one["loc"])
        found.append(f"{place}: {one['msg']}")
    return problem_response(InputError("; ".join(found) or "the request is malformed"))


async def on_defect(request: Request, error: Exception) -> Response:  # noqa: ARG001
    """Answers a defect of ours."""
    return defect_response()


def defect_response() -> Response:
    """Returns the answer for a defect; the log of the process has the trace, the caller not."""
    return plain_problem(500, "this is a defect of the server; its log says more", slug="internal")
