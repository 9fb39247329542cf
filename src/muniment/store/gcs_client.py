"""Google's SDK: a client for one bucket, as whom, with which certificates.

`credentials` names the key file of a service account. Without it the SDK looks for the credentials
of this machine (GOOGLE_APPLICATION_CREDENTIALS, the metadata server), at the first request. An
endpoint without TLS is an emulator's: it is asked without any.
"""

from __future__ import annotations

from typing import Any

import google.auth
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.auth.transport.requests import AuthorizedSession
from google.cloud import storage
from google.oauth2 import service_account

from muniment.errors import SettingsError, StoreFailing
from muniment.settings.store import Connection

SCOPES = ("https://www.googleapis.com/auth/devstorage.full_control",)
PROJECT = "muniment"
"""Named to the SDK, which wants one; no request that Muniment makes carries it."""


def bucket_of(connection: Connection) -> Any:
    """Returns the SDK's bucket of a connection; no request is made to the store.

    Raises SettingsError for a key file that is none, StoreFailing where there are no credentials.
    """
    credentials = _credentials(connection)
    session = AuthorizedSession(credentials, refresh_timeout=connection.timeout)  # type: ignore[no-untyped-call]
    session.trust_env = False  # no proxies, no .netrc, no other certificates
    session.max_redirects = 0  # nobody else is told the token
    if connection.ca is not None:
        session.verify = str(connection.ca)
    options = {"api_endpoint": connection.endpoint} if connection.endpoint else None
    client = storage.Client(
        project=PROJECT, credentials=credentials, _http=session, client_options=options
    )
    # The SDK would look up the bucket in a thread of its own, again and again while that fails, to
    # name it in traces that nobody asked for.
    client._bucket_metadata_cache = None
    return client.bucket(connection.bucket)


def _credentials(connection: Connection) -> Any:
    if connection.credentials is not None:
        try:
            return service_account.Credentials.from_service_account_file(  # type: ignore[no-untyped-call]
                str(connection.credentials), scopes=SCOPES
            )
        except (OSError, ValueError, GoogleAuthError) as error:
            reason = error.strerror if isinstance(error, OSError) else "no service account's key"
            raise SettingsError(f"{connection.credentials}: {reason}") from None
    if connection.endpoint and connection.endpoint.startswith("http:"):
        return AnonymousCredentials()  # type: ignore[no-untyped-call]
    try:
        credentials, _ = google.auth.default(scopes=SCOPES)
    except GoogleAuthError as error:
        detail = f"{connection.url}: {type(error).__name__}: set credentials"
        raise StoreFailing(detail, reason="credentials") from None
    return credentials
