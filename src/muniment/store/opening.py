"""From settings to a store. The SDK of a provider is imported only where it is used."""

from __future__ import annotations

from muniment.errors import SettingsError
from muniment.settings.store import Connection
from muniment.store.port import Store


def open_store(connection: Connection, name: str) -> Store:
    """Returns the store that a connection names; no request is made.

    Raises SettingsError where the extra with its SDK is not installed.
    """
    try:
        match connection.scheme:
            case "file":
                from muniment.store.local import LocalStore

                return LocalStore(connection, name)
            case "s3":
                from muniment.store.s3 import S3Store

                return S3Store(connection, name)
            case "az":
                from muniment.store.azure import AzureStore

                return AzureStore(connection, name)
            case _:
                from muniment.store.gcs import GcsStore

                return GcsStore(connection, name)
    except ModuleNotFoundError as error:
        extra = {"s3": "s3", "az": "azure", "gs": "gcs"}.get(connection.scheme, "")
        raise SettingsError(
            f"{connection.url}: {error.name} is not installed: pip install 'muniment[{extra}]'"
        ) from error
