"""A Kubernetes API server, spoken to in its own JSON: discovery, list, watch, write.

Where the API server is and who asks (kubeconfig, service account, token; TLS, proxies, plugins
that fetch tokens) is the official client's; its models are not used, for objects are kept as the
API server has them. Everything that is read has a bound. Safe for several threads.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from muniment import __version__
from muniment.balancer.kubernetes_access import Access, connect
from muniment.balancer.kubernetes_answers import (
    Object,
    Refused,
    WatchEvent,
    connection_errors,
    lines,
    member,
    object_of,
    objects,
    read,
    refusal,
    versions,
    watch_event,
)
from muniment.errors import Unavailable

MANAGER = "muniment"
"""The field manager of what Muniment writes."""

PAGE = 500
MAX_PAGE = 64 << 20
TIMEOUT = 30.0
WATCH_SECONDS = 240
"""After so long the API server ends a watch, and it is asked for again."""

_STATUS = 64 << 10


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of objects that the API server serves."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """Group and version as objects have them; of the core group the version alone."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str = "", name: str = "", part: str = "") -> str:
        """Returns the path of the collection, of one object, or of a subresource of it."""
        parts = ["apis", self.group, self.version] if self.group else ["api", self.version]
        parts += ["namespaces", namespace] if self.namespaced and namespace else []
        parts += [self.plural, *filter(None, (name, part))]
        return "/" + "/".join(quote(one, safe="") for one in parts)


class Watching:
    """A watch that goes on: iterates its events; `stop` ends it from any thread."""

    def __init__(self, response: Any) -> None:
        self._response = response

    def __iter__(self) -> Iterator[WatchEvent]:
        with connection_errors():
            for line in lines(self._response.stream(1 << 16, decode_content=True)):
                yield watch_event(line)

    def stop(self) -> None:
        """Ends a read that waits; whoever iterates gets the end or Unavailable."""
        with suppress(Exception):  # it may have ended already: the very thing that is wanted
            self._response.shutdown()

    def close(self) -> None:
        self._response.close()


class ApiServer:
    """The client. Raises Refused for what is answered so, Unavailable where nothing is answered."""

    def __init__(self, access: Access) -> None:
        self._client = connect(access)
        self._pool = self._client.rest_client.pool_manager
        self._lock = threading.Lock()

    def close(self) -> None:
        self._pool.clear()

    def resources(self, group: str) -> list[Resource]:
        """What is served of a group, each in the version that the API server prefers."""
        try:
            found = [] if group == "" else self._get(f"/apis/{quote(group)}")
        except Refused as error:
            if error.code == 404:
                return []
            raise
        served: dict[str, Resource] = {}
        for version in ["v1"] if group == "" else versions(found):
            base = f"/apis/{quote(group)}/{quote(version)}" if group else "/api/v1"
            for one in objects(self._get(base), "resources"):
                plural, kind = one.get("name"), one.get("kind")
                if isinstance(plural, str) and isinstance(kind, str) and "/" not in plural:
                    namespaced = one.get("namespaced") is True
                    served.setdefault(plural, Resource(group, version, plural, kind, namespaced))
        return list(served.values())

    def get(self, resource: Resource, namespace: str, name: str, part: str = "") -> Object | None:
        """Returns an object; None where there is none of that name."""
        try:
            return self._get(resource.path(namespace, name, part))
        except Refused as error:
            if error.code == 404:
                return None
            raise

    def list(
        self, resource: Resource, namespace: str = "", **selectors: str
    ) -> tuple[Iterator[Object], Callable[[], str]]:
        """Returns the objects, page by page, and what says their version once all were read.

        `selectors` are fieldSelector and labelSelector.
        """
        version = ""

        def pages() -> Iterator[Object]:
            nonlocal version
            going_on = ""
            while True:
                query = {"limit": str(PAGE), **selectors}
                page = self._get(
                    resource.path(namespace), query | ({"continue": going_on} if going_on else {})
                )
                for one in objects(page, "items"):
                    # In a list, only the list itself says its kind.
                    one.setdefault("apiVersion", resource.api_version)
                    one.setdefault("kind", resource.kind)
                    yield one
                about = member(page, "metadata")
                version = str(about.get("resourceVersion") or "")
                going_on = str(about.get("continue") or "")
                if not going_on:
                    return

        return pages(), lambda: version

    def watch(
        self, resource: Resource, version: str, namespace: str = "", **selectors: str
    ) -> Watching:
        """Begins to watch from a version on. Raises Refused (410) where that is too old."""
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
            **selectors,
        }
        return Watching(
            self._open("GET", resource.path(namespace), query, patience=WATCH_SECONDS + TIMEOUT)
        )

    def write(
        self,
        method: str,
        path: str,
        body: Object | None = None,
        *,
        media: str = "application/json",
        dry_run: bool = False,
        **query: str,
    ) -> Object:
        """Sends a change as the field manager `muniment` and returns what is answered.

        With `dry_run` the API server checks it in every way that it checks changes, and keeps none.
        """
        query |= {"dryRun": "All"} if dry_run else {}
        if method != "DELETE":
            query["fieldManager"] = MANAGER
        elif dry_run:  # of a DELETE with a body, the API server takes no options from the query
            body = {**(body or {}), "dryRun": ["All"]}
        return self._json(method, path, query, body, media)

    def _get(self, path: str, query: Mapping[str, str] | None = None) -> Object:
        return self._json("GET", path, query or {})

    def _json(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Object | None = None,
        media: str = "application/json",
    ) -> Object:
        content = None if body is None else orjson.dumps(body)
        response = self._open(method, path, query, content=content, media=media)
        try:
            with connection_errors():
                return object_of(read(response, MAX_PAGE))
        finally:
            response.release_conn()

    def _open(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        *,
        content: bytes | None = None,
        media: str = "",
        patience: float = TIMEOUT,
    ) -> Any:
        from urllib3 import Timeout

        url = f"{self._client.configuration.host}{path}?{urlencode(query)}".rstrip("?")
        headers = {"Accept": "application/json", "User-Agent": f"muniment/{__version__}"}
        headers |= {} if content is None else {"Content-Type": media}
        self._authorize(headers)
        with connection_errors():
            response = self._pool.request(
                method,
                url,
                body=content,
                headers=headers,
                timeout=Timeout(connect=10.0, read=patience),
                retries=False,
                redirect=False,
                preload_content=False,
            )
            if 200 <= response.status < 300:
                return response
            try:
                raise refusal(response.status, read(response, _STATUS), f"{method} {path}")
            finally:
                response.close()

    def _authorize(self, headers: dict[str, str]) -> None:
        """Adds who asks. That may fetch a new token: once for all threads."""
        try:
            with self._lock:
                self._client.update_params_for_auth(headers, [], ["BearerToken"])
        except Exception as error:  # files, plugins, identity providers: each has its own errors
            raise Unavailable(f"no credentials for the API server: {error}") from error
