"""From the settings of a node to what its HTTP face and its watchers work with."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from functools import partial

from muniment.access import Guard, Tokens
from muniment.access.shared import SharedTokens
from muniment.api import Context, Limits
from muniment.api.ports import Query
from muniment.clock import Clock
from muniment.data_directory import DataDirectory, Randomness
from muniment.log.disk import Disk
from muniment.query import QueryProcess
from muniment.query.elsewhere import Elsewhere
from muniment.receive.target import Target
from muniment.receive.tls import tls_context
from muniment.settings import Role, Settings
from muniment.shards import AnyShard
from muniment.watch import Completeness
from muniment.watch.commit import Committer

Shards = Mapping[str, Mapping[str, AnyShard]]


def tokens_of(
    settings: Settings,
    directory: DataDirectory,
    disk: Disk,
    clock: Clock,
    randomness: Randomness,
) -> Tokens | SharedTokens:
    """Opens the tokens: the node's own, or those of its fleet. Raises SettingsError, Corrupt."""
    own = Tokens.open(directory.tokens, disk=disk, clock=clock, randomness=randomness)
    if settings.tokens is None:
        return own
    own.ensure_file()
    return SharedTokens.open(settings.tokens)


def query_of(settings: Settings, shards: Shards) -> QueryProcess | Elsewhere:
    """Returns the query process of a node, not started yet, or what stands in for it."""
    if Role.QUERY not in settings.roles:
        return Elsewhere()
    return QueryProcess(
        settings.data,
        {log: list(of_log) for log, of_log in shards.items()},
        sources=settings.sources,
        sources_python=settings.sources_python,
        store=settings.store[0] if settings.store else None,
    )


def context_of(
    settings: Settings, shards: Shards, query: Query, tokens: Tokens, clock: Clock
) -> Context:
    """Returns what the handlers share."""
    guard = Guard(
        tokens,
        required=settings.tokens_required,
        open_to_all=settings.serve_without_tls_and_tokens,
    )
    limits = Limits(
        body=int(settings.max_body),
        decompressed=int(settings.max_decompressed),
        bodies=int(settings.max_bodies),
        connections=settings.max_connections,
        header_seconds=settings.header_timeout,
        body_seconds=settings.body_timeout,
        body_rate=settings.min_body_rate,
        keep_alive_seconds=settings.keep_alive,
        tails=settings.max_tails,
        index_lag=settings.max_index_lag,
    )
    return Context(
        settings.node,
        shards,
        query,
        guard,
        tokens,
        limits,
        clock,
        settings.tokens_required,
        starting=True,
        takes=Role.INGEST in settings.roles,
        edges=frozenset(settings.edges),
        writers=frozenset(settings.writers),
    )


def watchers(
    settings: Settings,
    shards: Shards,
    query: QueryProcess,
    directory: DataDirectory,
    *,
    clock: Clock,
    disk: Disk,
) -> dict[str, Completeness]:
    """Returns what watches each log, where this node does; see `watch`."""
    if not settings.completeness or Role.WATCH not in settings.roles:
        return {}
    return {
        log: Completeness(
            log,
            query,
            partial(_sizes, of_log),
            Committer(Target(log, of_log), settings.node, clock),
            directory.books(log),
            clock=clock,
            disk=disk,
            interval=settings.completeness_interval,
            grace=settings.completeness_grace,
        )
        for log, of_log in shards.items()
    }


def _sizes(shards: Mapping[str, AnyShard]) -> dict[str, int]:
    return {name: shard.size for name, shard in shards.items()}


def server_tls(settings: Settings) -> ssl.SSLContext | None:
    """Returns the TLS of the HTTP listener; None where it speaks plain HTTP."""
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return tls_context(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
