"""The gate: every request passes it; it knows who calls and says how browsers treat the answer."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from muniment.access import Guard
from muniment.access.guard import Call
from muniment.api.meters import Meters
from muniment.api.problems import problem_response
from muniment.errors import AccessDenied
from muniment.receive.sockets import is_local

API_POLICY = b"default-src 'none'; frame-ancestors 'none'; sandbox"
PAGE_POLICY = (
    b"default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    b"form-action 'self'; frame-ancestors 'none'"
)

_COMMON = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
API_HEADERS = b"".join(
    b"%b: %b\r\n" % pair for pair in (*_COMMON, (b"content-security-policy", API_POLICY))
)
"""What goes with every answer of the API, as it stands in a response's head."""

_COUNTED = frozenset({"GET", "HEAD", "POST"})
_GUARDED = ("/api/", "/tlog/", "/metrics")
_FORWARDED = frozenset({b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via"})
_WANTED = {
    b"host": "host",
    b"authorization": "authorization",
    b"origin": "origin",
    b"sec-fetch-site": "fetch_site",
}


class Gate:
    """ASGI middleware. What is under `/api`, `/tlog` and `/metrics` has a caller after it.

    The rest (console, documentation, health) is the same for everybody and holds no entry.
    """

    def __init__(self, app: ASGIApp, guard: Guard, meters: Meters) -> None:
        self._app, self._guard, self._meters = app, guard, meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers 401 or 403, or passes the request on with `scope["state"]["caller"]`."""
        if scope["type"] != "http":
            return
        path: str = scope["path"]
        guarded = path.startswith(_GUARDED)
        policy = API_POLICY if guarded else PAGE_POLICY
        method: str = scope["method"]
        requests = self._meters.requests

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                status: int = message["status"]
                requests[method if method in _COUNTED else "other", status] += 1
                headers = [*message.get("headers", ()), *_COMMON]
                headers.append((b"content-security-policy", policy))
                message = {"type": "http.response.start", "status": status, "headers": headers}
            await send(message)

        if guarded:
            try:
                caller = self._guard.admit(call_of(scope))
            except AccessDenied as error:
                await problem_response(error)(scope, receive, answer)
                return
            scope.setdefault("state", {})["caller"] = caller
        scope.setdefault("state", {})["method"] = method
        if method == "HEAD":
            # The server leaves out the body by its own copy of the scope.
            scope = dict(scope, method="GET")
        await self._app(scope, receive, answer)


def call_of(scope: Scope) -> Call:
    """Returns what the guard looks at."""
    found: dict[str, str] = {}
    forwarded = False
    for name, value in scope["headers"]:
        key = _WANTED.get(name)
        if key is not None:
            text = value.decode("latin-1")
            found[key] = f"{found[key]}, {text}" if key in found else text
        elif name in _FORWARDED:
            forwarded = True
    client = scope.get("client")
    if client and not is_local(client[0]):  # a balancer's PROXY header says so, on loopback
        forwarded = True
    state = scope.get("state", {})
    if state.get("forwarded"):
        forwarded = True
    certificate: str = state.get("certificate", "")
    return Call(scope["method"], forwarded=forwarded, certificate=certificate, **found)
