"""Where the records of other nodes come from: their urls, a name in DNS, a store."""

from __future__ import annotations

import ipaddress
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, wait
from itertools import islice
from typing import Protocol
from urllib.parse import quote, urlsplit

from muniment.errors import MunimentError, NoSuchObject
from muniment.fleet.calls import Calls
from muniment.fleet.member import MAX_BYTES, Member, decode_member
from muniment.settings.fleet import DNS
from muniment.store.port import Store

PREFIX = "fleet/"
SUFFIX = ".json"
NODE_PATH = "/api/v1/node"
MAX_MEMBERS = 10_000
MAX_ADDRESSES = 1_000

Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a name. Raises OSError."""

_logger = logging.getLogger(__name__)


class Source(Protocol):
    """Tells of members."""

    def look(self) -> Iterable[Member]:
        """Asks for all records there are; those that cannot be had now are left out.

        Blocks for as long as a call takes. Raises MunimentError where none can be had.
        """


class Asking:
    """Questions to nodes, each under way once: who is slow to answer keeps nobody else waiting.

    `patience` seconds are waited for all of them together; an answer that comes later is told of
    by the next look.
    """

    def __init__(self, calls: Calls, workers: Executor, patience: float) -> None:
        self._calls, self._workers, self._patience = calls, workers, patience
        self._under_way: dict[str, Future[Member | None]] = {}

    def answers(self, urls: Iterable[str], server_name: str = "") -> Iterator[Member]:
        """Asks each; yields the records that have come."""
        for url in urls:
            if url not in self._under_way:
                self._under_way[url] = self._workers.submit(
                    ask, self._calls, url, server_name=server_name
                )
        wait(self._under_way.values(), self._patience)
        for url, asked in list(self._under_way.items()):
            if asked.done():
                del self._under_way[url]
                found = None if asked.cancelled() else asked.result()
                if found is not None:
                    yield found


class Urls:
    """Members under known urls, all asked at the same time."""

    def __init__(
        self, calls: Calls, urls: Sequence[str], workers: Executor, patience: float = 1.0
    ) -> None:
        self._asking, self._urls = Asking(calls, workers, patience), urls

    def look(self) -> Iterator[Member]:
        """See Source."""
        yield from self._asking.answers(self._urls)


class DnsName:
    """Members behind each address of a name, such as a headless service of Kubernetes.

    Each is asked at its address, and shows a certificate for the name. While the name cannot be
    resolved, those at the addresses it had are asked.
    """

    def __init__(
        self,
        calls: Calls,
        place: str,
        workers: Executor,
        resolve: Resolve | None = None,
        patience: float = 1.0,
    ) -> None:
        """`place` is `dns://NAME:PORT`."""
        self._asking = Asking(calls, workers, patience)
        self._resolve = resolve or addresses
        parts = urlsplit(place)
        assert parts.scheme == DNS
        self._name, self._port = parts.hostname or "", parts.port or 0
        self._last: Sequence[str] = ()

    def look(self) -> Iterator[Member]:
        """See Source."""
        try:
            found = self._resolve(self._name, self._port)
            if len(found) > MAX_ADDRESSES:
                _logger.warning("dns://%s has more than %d addresses", self._name, MAX_ADDRESSES)
            self._last = found[:MAX_ADDRESSES]
        except OSError as error:
            _logger.warning("dns://%s: %s", self._name, error)
        urls = [f"https://{_host(address)}:{self._port}" for address in self._last]
        yield from self._asking.answers(urls, self._name)


class Objects:
    """Members that tell of themselves in a store, one object each, read several at a time."""

    def __init__(self, store: Store, workers: Executor | None = None) -> None:
        self._store, self._workers = store, workers

    def look(self) -> Iterator[Member]:
        """See Source."""
        listed = (item.key for item in self._store.list(PREFIX))
        keys = [key for key in islice(listed, MAX_MEMBERS) if key.endswith(SUFFIX)]
        read = self._workers.map if self._workers is not None else map
        yield from (found for found in read(self._read, keys) if found is not None)

    def _read(self, key: str) -> Member | None:
        where = f"{self._store.url}/{key}"
        try:
            found = decode_member(self._store.get_range(key, 0, MAX_BYTES + 1), where)
        except NoSuchObject:
            return None
        except MunimentError as error:
            _logger.warning("%s: %s", where, error.detail)
            return None
        if key != _key(found.node):
            _logger.warning("%s is the record of %s: left out", where, found.node)
            return None
        return found

    def put(self, member: Member) -> None:
        """Tells of a node. Raises StoreFailing."""
        self._store.put(_key(member.node), member.encode())

    def remove(self, node: str) -> None:
        """Forgets a node that has been gone for long. Raises StoreFailing."""
        self._store.remove(_key(node))


def _key(node: str) -> str:
    """A name is one part of a key, whatever a node calls itself: `../x` must not lead elsewhere."""
    return f"{PREFIX}{quote(node, safe='')}{SUFFIX}"


def ask(calls: Calls, url: str, *, server_name: str = "") -> Member | None:
    """Returns the record of the node under a url, or None where it cannot be had."""
    where = f"{url}{NODE_PATH}"
    try:
        return decode_member(calls.get(where, server_name=server_name, most=MAX_BYTES), where)
    except MunimentError as error:
        _logger.debug("%s", error.detail)
        return None


def addresses(name: str, port: int) -> list[str]:
    """Returns the addresses of a name as the system resolves it. Raises OSError."""
    found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    return sorted({str(one[4][0]) for one in found})


def _host(address: str) -> str:
    return f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
