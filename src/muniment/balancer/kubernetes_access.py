"""The way to a Kubernetes API server, as the official client takes it.

kubeconfig with its plugins that fetch tokens, service account, certificates, proxies: all of that
is the client's. What is used of it is its pool of connections and its header of authorization.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from muniment.errors import SettingsError

_KEEP_ALIVE = (("SO_KEEPALIVE", 1), ("TCP_KEEPIDLE", 15), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3))
_CONNECTIONS = 64


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API server is and as whom it is asked; all empty: from inside of the cluster."""

    kubeconfig: Path | None = None
    context: str = ""
    url: str = ""
    token_file: Path | None = None
    ca: Path | None = None


def connect(access: Access) -> Any:
    """Returns an ApiClient of the official client. Raises SettingsError."""
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise SettingsError(
            "watching Kubernetes needs its client: pip install 'muniment[kubernetes]'"
        ) from error
    made = client.Configuration()
    try:
        if access.url:
            made.host = access.url.rstrip("/")
            made.ssl_ca_cert = None if access.ca is None else str(access.ca)
            if access.token_file is not None:
                _follow_token(made, access.token_file)
        elif access.kubeconfig is not None:
            config.load_kube_config(
                str(access.kubeconfig.expanduser()),
                access.context or None,
                client_configuration=made,
                persist_config=False,
            )
        else:
            config.load_incluster_config(client_configuration=made)
        found = client.ApiClient(made)
    except (config.ConfigException, OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"the way to the API server: {error}") from error
    pool = found.rest_client.pool_manager
    pool.connection_pool_kw |= {"socket_options": _socket_options(), "maxsize": _CONNECTIONS}
    return found


def _follow_token(configuration: Any, path: Path) -> None:
    """Has the token read at each request: a service account's is replaced every hour or so."""

    def read(asked: Any) -> None:
        asked.api_key["authorization"] = f"Bearer {path.read_text().strip()}"

    configuration.refresh_api_key_hook = read
    read(configuration)


def _socket_options() -> list[tuple[int, int, int]]:
    """TCP keepalive: without it a watch whose peer has vanished would wait for minutes."""
    from urllib3.connection import HTTPConnection

    options = list(HTTPConnection.default_socket_options)
    for name, value in _KEEP_ALIVE:
        level = socket.SOL_SOCKET if name.startswith("SO_") else socket.IPPROTO_TCP
        if hasattr(socket, name):
            options.append((level, getattr(socket, name), value))
    return options
