"""The Azure SDK's client of a container: as whom, with which certificates, how long, without tries.

`credentials` names a file with one line: an account key, a SAS token, or a connection string. With
`access_key` and `secret_key` the account's name and its key (or a SAS) are in the settings. With
neither, azure-identity finds out who this machine is.
"""

from __future__ import annotations

from typing import Any

from azure.core.credentials import AzureNamedKeyCredential, AzureSasCredential
from azure.storage.blob import ContainerClient
from pydantic import ValidationError

from muniment.errors import SettingsError
from muniment.settings.store import Connection

LONGEST_SECRET = 16 << 10
SINGLE_PUT = 64 << 20
"""Bytes that go in one request; more go in blocks, which become an object all at once."""

BLOCK = 16 << 20
SINGLE_GET = 64 << 20


def client_of(connection: Connection, **options: Any) -> ContainerClient:
    """Returns the client of a connection's container; no request is made. Raises SettingsError."""
    account, secret = connection.account or connection.access_key or "", _secret(connection)
    fields = _fields(secret)
    account = account or fields.get("AccountName", "")
    endpoint = connection.endpoint or fields.get("BlobEndpoint", "")
    if not connection.endpoint:
        _check_endpoint(connection, endpoint)
    if not account:
        raise SettingsError(f"{connection.url}: set account: the name of the storage account")
    secret = fields.get("AccountKey") or fields.get("SharedAccessSignature") or secret
    return ContainerClient(
        endpoint or f"https://{account}.blob.core.windows.net",
        connection.bucket,
        credential=_credential(connection, account, secret),
        connection_timeout=min(connection.timeout, 10.0),
        read_timeout=connection.timeout,
        connection_verify=str(connection.ca) if connection.ca else True,
        use_env_settings=False,
        retry_total=0,
        permit_redirects=False,  # the next host would be sent the signature, or the SAS
        max_single_put_size=SINGLE_PUT,
        max_block_size=BLOCK,
        max_single_get_size=SINGLE_GET,
        max_chunk_get_size=BLOCK,
        **options,
    )


def _check_endpoint(connection: Connection, endpoint: str) -> None:
    """What a connection string names is held to what `endpoint` is: no plain http unasked."""
    try:
        Connection.model_validate(
            {
                "url": connection.url,
                "endpoint": endpoint or None,
                "allow_http": connection.allow_http,
            }
        )
    except ValidationError:
        raise SettingsError(
            f"{connection.credentials or connection.url}: BlobEndpoint is no https URL: use "
            "https, or say allow_http = true"
        ) from None


def _secret(connection: Connection) -> str:
    if connection.credentials is None:
        return connection.secret_key.get_secret_value() if connection.secret_key else ""
    try:
        with connection.credentials.open("rb") as file:
            text = file.read(LONGEST_SECRET).decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no ASCII"
        raise SettingsError(f"{connection.credentials}: {reason}") from None
    if not text or "\n" in text:
        raise SettingsError(
            f"{connection.credentials}: one line: an account key, a SAS or a connection string"
        )
    return text


def _fields(secret: str) -> dict[str, str]:
    """The fields of a connection string; none for what is a key or a SAS."""
    if "AccountKey=" not in secret and "SharedAccessSignature=" not in secret:
        return {}
    return dict(part.split("=", 1) for part in secret.split(";") if "=" in part)


def _credential(connection: Connection, account: str, secret: str) -> Any:
    if "sig=" in secret:
        return AzureSasCredential(secret.removeprefix("?"))
    if secret:
        return AzureNamedKeyCredential(account, secret)
    try:
        from azure.identity import DefaultAzureCredential
    except ModuleNotFoundError:
        raise SettingsError(
            f"{connection.url}: set credentials, or install azure-identity for this machine's own"
        ) from None
    return DefaultAzureCredential()
