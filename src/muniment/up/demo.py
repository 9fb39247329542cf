"""A load to look at: made-up access lines of a shop behind HAProxy, written through the edge.

The client does what clients of a fleet are to do: each batch has an Idempotency-Key, and is sent
again with the same key until it is answered. So nodes can come and go meanwhile, and no line is
lost, or found twice.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from ipaddress import IPv4Address
from random import Random

import httpx

from muniment.access import Scope, Tokens
from muniment.clock import Clock
from muniment.log.disk import Disk, write_file
from muniment.up.node_settings import LOG
from muniment.up.places import Places
from muniment.up.plan import Plan

NAME = "demo"
LINES_PER_BATCH = 20
PAUSE = 0.25
LONGEST_PAUSE = 2.0
SETTLED = (201, 400, 401, 403, 404, 409, 413, 415)
"""Answers after which the same batch is not sent again: it is kept, or never will be."""

_PATHS = ("/", "/products/17", "/products/42", "/search?q=tea", "/cart", "/checkout", "/health")
_METHODS = ("GET", "GET", "GET", "GET", "POST")
_STATUSES = (200,) * 30 + (304,) * 5 + (404, 404, 302, 500, 502, 503)
_SERVERS = ("w1", "w2", "w3")
_CLIENTS = IPv4Address("203.0.113.1")


def demo_token(places: Places, disk: Disk, clock: Clock) -> str:
    """Returns the token that the load writes with; makes it where it is not there."""
    place = places.demo_token
    tokens = Tokens.open(places.tokens, disk=disk, clock=clock)
    old = [record.id for record in tokens.records if record.name == NAME]
    if not place.exists() or not old:
        for id_ in old:
            tokens.revoke(id_)
        write_file(disk, place, f"{tokens.create(NAME, [Scope.WRITE], LOG)}\n".encode(), 0o600)
    return place.read_text("ascii").strip()


def lines(random: Random, now: datetime) -> Iterator[str]:
    """Yields one batch of lines in HAProxy's HTTP format, as if of the last moments."""
    for number in range(LINES_PER_BATCH):
        at = now - timedelta(milliseconds=10 * (LINES_PER_BATCH - number))
        stamp = f"{at:%d/%b/%Y:%H:%M:%S}.{at.microsecond // 1000:03}"
        status, took = random.choice(_STATUSES), int(random.expovariate(1 / 20))
        server = random.choice(_SERVERS)
        yield (
            f"{_CLIENTS + random.randrange(200)}:{random.randint(32_768, 60_999)} [{stamp}] shop "
            f"web/{server} 0/0/1/{took}/{took + 1} {status} {random.randint(200, 9_000)} - - ---- "
            f'9/9/2/1/0 0/0 "{random.choice(_METHODS)} {random.choice(_PATHS)} HTTP/1.1"'
        )


async def write_demo(plan: Plan, places: Places, token: str, clock: Clock) -> None:
    """Writes batches until it is cancelled. What is refused for good is left out."""
    random = Random()  # noqa: S311 (made-up lines)
    context = ssl.create_default_context(cafile=str(places.authority.certificate))
    headers = {"authorization": f"Bearer {token}", "content-type": "text/plain"}
    url = f"{plan.write_url}/api/v1/logs/{LOG}/entries?as=haproxy"
    run = random.randbytes(8).hex()
    async with httpx.AsyncClient(
        verify=context, headers=headers, trust_env=False, timeout=10
    ) as client:
        number = 0
        while True:
            number += 1
            body = "\n".join(lines(random, clock.now()))
            await _post(client, url, body, f"{NAME}-{run}-{number}")
            await asyncio.sleep(PAUSE)


async def _post(client: httpx.AsyncClient, url: str, body: str, key: str) -> None:
    pause = PAUSE
    while True:
        with suppress(httpx.HTTPError):
            answer = await client.post(url, content=body, headers={"idempotency-key": key})
            if answer.status_code in SETTLED:
                return
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)
