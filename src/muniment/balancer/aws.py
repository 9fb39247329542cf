"""Calls of AWS's APIs: paginated, bounded in time, with back-off where AWS throttles.

boto3 is imported when the first client is made. Credentials are those that it finds for itself
(environment, instance or task role, shared files); a role to take can be named on top.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from muniment.errors import MunimentError, SettingsError

MAX_PAGES = 1_000
"""Pages of one listing: more than any quota of a region lets it have."""

_GONE = ("NotFound", "NoSuch", "DoesNotExist", "Nonexistent")


class AwsError(MunimentError):
    """AWS did not do what it was asked; `code` is its own word for why, empty where it has none."""

    def __init__(self, detail: str, code: str = "") -> None:
        super().__init__(detail)
        self.code = code

    @property
    def is_gone(self) -> bool:
        """Whether what was asked for is not there, or not any more."""
        return any(word in self.code for word in _GONE)


@dataclass(frozen=True, slots=True)
class Access:
    """Where and as whom calls are made. `timeout` is seconds of one call, `attempts` how often."""

    region: str
    role: str = ""
    external_id: str = ""
    profile: str = ""
    endpoint: str = ""
    timeout: float = 10.0
    attempts: int = 5


class Aws:
    """The clients of one region. Safe for several threads."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._session: Any = None
        self._clients: dict[str, Any] = {}
        self._lock = threading.Lock()

    def call(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:
        """Calls an operation (`describe_rules`) and returns its answer. Raises AwsError."""
        answer: Mapping[str, Any] = self._guarded(
            service, operation, lambda client: getattr(client, operation)(**parameters)
        )
        return answer

    def items(self, service: str, operation: str, key: str, **parameters: Any) -> Iterator[Any]:
        """Yields what stands under `key` in all pages of a listing. Raises AwsError."""
        pages = self._guarded(
            service,
            operation,
            lambda client: iter(client.get_paginator(operation).paginate(**parameters)),
        )
        for number in range(MAX_PAGES + 1):
            page = self._guarded(service, operation, lambda _: next(pages, None))
            if page is None:
                return
            if number == MAX_PAGES:
                raise AwsError(f"{service} {operation} has more than {MAX_PAGES:,} pages")
            yield from page.get(key) or ()

    def close(self) -> None:
        """Lets go of all connections."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _guarded(self, service: str, operation: str, act: Any) -> Any:
        try:
            return act(self._client(service))
        except MunimentError:
            raise
        except Exception as error:
            raise _translated(service, operation, error) from error

    def _client(self, service: str) -> Any:
        with self._lock:
            if service not in self._clients:
                self._clients[service] = self._made(service)
            return self._clients[service]

    def _made(self, service: str) -> Any:
        config = _import("botocore.config").Config(
            connect_timeout=self._access.timeout,
            read_timeout=self._access.timeout,
            retries={"mode": "standard", "total_max_attempts": self._access.attempts},
            user_agent_extra="muniment",
        )
        if self._session is None:
            self._session = self._session_of(config)
        return self._session.client(
            service, endpoint_url=self._access.endpoint or None, config=config
        )

    def _session_of(self, config: Any) -> Any:
        access = self._access
        boto3 = _import("boto3")
        plain = boto3.Session(
            region_name=access.region or None, profile_name=access.profile or None
        )
        if not access.role:
            return plain
        credentials = _import("botocore.credentials")
        sts = plain.client("sts", endpoint_url=access.endpoint or None, config=config)
        extra = {"ExternalId": access.external_id} if access.external_id else {}

        def taken() -> dict[str, str]:
            answer = sts.assume_role(RoleArn=access.role, RoleSessionName="muniment", **extra)
            given = answer["Credentials"]
            return {
                "access_key": given["AccessKeyId"],
                "secret_key": given["SecretAccessKey"],
                "token": given["SessionToken"],
                "expiry_time": given["Expiration"].isoformat(),
            }

        core = _import("botocore.session").get_session()
        core._credentials = credentials.RefreshableCredentials.create_from_metadata(
            metadata=taken(), refresh_using=taken, method="sts-assume-role"
        )
        return boto3.Session(botocore_session=core, region_name=access.region or None)


def _import(name: str) -> Any:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise SettingsError(f"{error}: pip install 'muniment[aws]'") from error


def _translated(service: str, operation: str, error: Exception) -> AwsError:
    answer = getattr(error, "response", None)
    said = answer.get("Error", {}) if isinstance(answer, dict) else {}
    code = str(said.get("Code") or "")
    reason = str(said.get("Message") or error or type(error).__name__)[:500]
    return AwsError(f"{service} {operation}: {f'{code}: ' if code else ''}{reason}", code)
