"""What the Google store makes of lost, late and broken answers."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("google.cloud.storage", reason="google-cloud-storage is not installed")

from trouble import Trouble

from muniment.settings.store import Connection
from muniment.store.gcs import GcsStore
from muniment.store.port import Store


class TestGcsStore(Trouble):
    def opened(self, url: str, timeout: float = 30.0) -> Store:
        connection = Connection(
            url="gs://evidence/below",
            endpoint=url,
            timeout=timeout,
        )
        return GcsStore(connection, "gcs")

    def endless(self) -> tuple[bytes, dict[str, str]]:
        item = {"name": "below/a", "size": "1", "generation": "1"}
        document = {"items": [item], "nextPageToken": "more"}
        return json.dumps(document).encode(), {"Content-Type": "application/json"}
