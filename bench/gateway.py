"""A real S3 server for a measurement: the tests' Ceph gateway, with its objects in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e.harness.ceph import Ceph, ceph_gateway

from muniment.settings.store import Connection

CAPACITY = 8 << 30


@contextmanager
def gateway() -> Iterator[Ceph]:
    """Starts a gateway, and ends it."""
    with ceph_gateway(CAPACITY) as found:
        yield found


def table(connection: Connection) -> str:
    """Returns the keys of a store's table in TOML."""
    assert connection.secret_key is not None
    keys = {
        "url": connection.url,
        "endpoint": connection.endpoint,
        "region": connection.region,
        "access_key": connection.access_key,
        "secret_key": connection.secret_key.get_secret_value(),
    }
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
