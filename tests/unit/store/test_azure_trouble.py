"""What the Azure store makes of lost, late and broken answers."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

pytest.importorskip("azure.storage.blob", reason="azure-storage-blob is not installed")

from azure_double import row
from simulated_bucket import Version
from trouble import Trouble

from muniment.settings.store import Connection
from muniment.store.azure import AzureStore
from muniment.store.port import Store


class TestAzureStore(Trouble):
    def opened(self, url: str, timeout: float = 30.0) -> Store:
        connection = Connection(
            url="az://evidence/below",
            endpoint=f"{url}/account",
            access_key="account",
            secret_key="bXVuaW1lbnQ=",
            timeout=timeout,
        )
        return AzureStore(connection, "azure")

    def endless(self) -> tuple[bytes, dict[str, str]]:
        found = Version("v", b"x", datetime.now(UTC))
        page = f"<Blobs>{row('below/a', found, True)}</Blobs><NextMarker>more</NextMarker>"
        document = f'<EnumerationResults ContainerName="c">{page}</EnumerationResults>'
        return document.encode(), {"Content-Type": "application/xml"}
