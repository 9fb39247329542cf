"""The nodes behind `[members]`: asked one by one what they are, as the fleet's own members are."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future, wait
from functools import partial
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import ValidationError

from muniment.edge.kinds import Place
from muniment.edge.parts import Members, Node, Tls
from muniment.errors import SettingsError
from muniment.fleet.calls import Calls
from muniment.fleet.member import Member
from muniment.fleet.sources import addresses, ask
from muniment.settings.fleet import DNS, FleetSettings

MAX_NODES = 1_000
PATIENCE = 2.0
"""Seconds that all answers together are waited for; a later one is looked at the next time."""

_LISTENERS = {"syslog-tcp": "syslog", "syslog": "syslog", "forward": "forward"}
_NOBODY = "https://edge.invalid:1"
"""An edge is no member: nobody calls it."""

_logger = logging.getLogger(__name__)


class Discovery:
    """Remembers each node under the address where it was found.

    One that does not answer stays as it was: whether it is there is for the balancer's own checks
    to say. One whose name no longer leads to it is gone.
    """

    def __init__(self, members: Members, calls: Calls, workers: Executor) -> None:
        self._members, self._calls, self._workers = members, calls, workers
        self._known: dict[str, Node] = {}
        self._under_way: dict[tuple[str, str], Future[Member | None]] = {}

    def nodes(self) -> Sequence[Node]:
        """Asks everybody once, and returns who is known now, by name.

        One that answers slowly, or never, keeps neither the others nor the supervisor waiting.
        """
        targets = list(self._targets())[:MAX_NODES]
        self._known = {url: self._known[url] for url, _ in targets if url in self._known}
        for url, name in targets:
            if (url, name) not in self._under_way:
                question = partial(ask, self._calls, url, server_name=name)
                self._under_way[url, name] = self._workers.submit(question)
        wait(self._under_way.values(), PATIENCE)
        wanted = set(targets)
        for url, name in [one for one, asked in self._under_way.items() if asked.done()]:
            asked = self._under_way.pop((url, name))
            member = None if asked.cancelled() else asked.result()
            if member is not None and (url, name) in wanted:
                self._take(url, name, member)
        by_name = {node.name: node for node in self._known.values()}
        return [by_name[name] for name in sorted(by_name)]

    def _take(self, url: str, name: str, member: Member) -> None:
        try:
            self._known[url] = node_of(url, name, member)
        except ValidationError as error:
            _logger.warning("%s says what no node can be: %s", url, error.errors()[0]["msg"])
        except ValueError as error:
            _logger.warning("%s: %s", url, error)

    def _targets(self) -> Iterator[tuple[str, str]]:
        """Each url to ask, and the name that the certificate there is to have."""
        for place in self._members.of:
            parts = urlsplit(place)
            if parts.scheme != DNS:
                yield place.rstrip("/"), ""
                continue
            try:
                found = addresses(parts.hostname or "", parts.port or 0)
            except OSError as error:
                _logger.warning("%s: %s", place, error)
                yield from ((url, parts.hostname or "") for url in self._known)
                continue
            for address in found:
                yield str(_https(address, parts.port or 0)), parts.hostname or ""


def node_of(url: str, server_name: str, member: Member) -> Node:
    """Returns a member as the edge sees it: at the address where it was found.

    Raises ValidationError for what cannot stand in a description.
    """
    place = Place.parse(_with_port(urlsplit(url).netloc, urlsplit(url).scheme))
    return Node.model_validate(
        {
            "name": member.node.lower(),
            "address": place,
            "roles": tuple(str(role) for role in member.roles),
            "jurisdiction": member.jurisdiction,
            "region": member.region,
            "tls_name": server_name,
            "state": str(member.state),
            "listeners": _listeners(place, member.listeners),
        }
    )


def _listeners(node: Place, told: Mapping[str, str]) -> Mapping[str, Place]:
    """A node that listens on all its addresses is reached at the one that is known."""
    found = {}
    for name, text in told.items():
        protocol = _LISTENERS.get(name.partition(":")[0])
        try:
            place = Place.parse(text)
        except ValueError:
            continue
        if protocol is not None:
            everywhere = not place.is_name and ip_address(place.host).is_unspecified
            found[protocol] = Place(node.host, place.port) if everywhere else place
    return found


def calls_of(tls: Tls, members: Members) -> Calls:
    """Returns what nodes are asked with: the edge's own certificate and token.

    Raises SettingsError.
    """
    given = {"ca": tls.nodes_ca, "certificate": tls.node_certificate, "key": tls.node_certificate}
    given |= {"token": members.token}
    try:
        fleet = FleetSettings.model_validate(given | {"url": _NOBODY, "members": members.of})
    except ValidationError as error:
        raise SettingsError(f"members.of: {error.errors()[0]['msg']}") from error
    return Calls(fleet)


def _https(address: str, port: int) -> str:
    return f"https://{Place(address, port)}"


def _with_port(netloc: str, scheme: str) -> str:
    host = netloc.rpartition("@")[2]
    tail = host.rpartition("]")[2]
    return host if ":" in tail else f"{host}:{443 if scheme == 'https' else 80}"
