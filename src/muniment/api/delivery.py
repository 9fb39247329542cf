"""Deliveries: what a log protocol's client posts, as a job of the write path.

The dialect says what the records are and how to answer; who calls, where the entries go, what a
body may cost and when it is durable is said here, the same for all.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from starlette.types import Scope

from muniment.access import Caller, Guard
from muniment.access import Scope as Right
from muniment.api.context import Context
from muniment.api.gate import call_of
from muniment.api.job import Answer, Settled
from muniment.api.problems import TooSlow, headers_for
from muniment.api.receiving import header
from muniment.api.write import SMALL_HOLD, check_source, idempotency_key
from muniment.api.write_cycle import NO_CONTENT
from muniment.budget import Hold
from muniment.clock import rfc3339
from muniment.errors import Conflict, MunimentError, Unavailable
from muniment.log import Acknowledgement, Batch
from muniment.log.waiting import Result
from muniment.receive.coding import Coding, decode
from muniment.receive.dialect import Dialect, Posting, Reply, Taken
from muniment.receive.groups import pack
from muniment.receive.header import Origin
from muniment.receive.sockets import peer_text
from muniment.receive.target import Target


@dataclass(frozen=True, slots=True)
class Delivered:
    """Records that are durable; without an acknowledgement where there were none.

    `taken` is without the records: they need not wait for the disk a second time.
    """

    taken: Taken
    acknowledgement: Acknowledgement | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A job: bodies of one sender, in one dialect, to one log.

    `key` is the request's own Idempotency-Key; a dialect can have one inside the body.
    """

    context: Context
    dialect: Dialect
    posting: Posting
    coding: Coding
    caller: Caller
    peer: str
    target: Target
    key: str

    @property
    def inline_bytes(self) -> int:
        """Few: a protocol that compresses inside can unpack twenty times as much."""
        return 2 << 10

    def submit(self, body: bytes, hold: Hold, done: Settled) -> None:
        """Takes the records out of the body and queues them. Raises MunimentError."""
        limit = self.context.limits.decompressed
        raw = decode(self.coding, body, limit, hold.grow)
        taken = self.dialect.take(self.posting, raw, limit, hold.grow)
        del raw
        self.context.meters.protocol(self.dialect.name).received(taken.count, len(body))
        if not taken.count:
            done(Delivered(taken, None))
            return
        hold.grow_to(3 * sum(len(r) for group in taken.groups for r in group.records))
        origin = self._origin(taken)
        at = rfc3339(self.context.clock.now())
        batch = Batch(pack(taken.groups, at, self.context.node, origin), origin.batch_id)
        if hold.amount > SMALL_HOLD:
            hold.shrink_to(batch.size + taken.reply_bytes)
        taken = replace(taken, groups=())
        self.target.offer(batch, partial(self._delivered, done, taken, batch))

    def _delivered(self, done: Settled, taken: Taken, batch: Batch, result: Result) -> None:
        """Passes on what became of a batch; called on the shard's thread.

        Where a protocol's own id was used before for other records, these are new all the same:
        only who sends an Idempotency-Key means to be told of a conflict.
        """
        if isinstance(result, Conflict) and not self.key:
            try:
                self.target.offer(Batch(batch.chunks), partial(self._delivered, done, taken, batch))
            except MunimentError as error:
                done(error)
            return
        done(result if isinstance(result, MunimentError) else Delivered(taken, result))

    def _origin(self, taken: Taken) -> Origin:
        name = self.dialect.name
        id_ = self.key or (f"{name} {taken.id}" if taken.id else "")
        return Origin(name, "", self.peer, self.caller.name).identified(id_)

    def answer(self, result: Delivered) -> Answer:
        """Returns the dialect's answer."""
        acknowledgement = result.acknowledgement
        if acknowledgement is not None:
            meters = self.context.meters.protocol(self.dialect.name)
            meters.entries += 0 if acknowledgement.replayed else acknowledgement.count
            meters.replayed += acknowledgement.replayed
        return answer_of(self.dialect.accepted(self.posting, result.taken, acknowledgement))


class DeliveryHead:
    """The head of a delivery. `log` is the one that its path names, `default` where none does."""

    def __init__(
        self,
        context: Context,
        guard: Guard,
        dialect: Dialect,
        posting: Posting,
        scope: Scope,
        log: str,
        default: str,
    ) -> None:
        self.chunked = header(scope, b"transfer-encoding") is not None
        self._context, self._guard = context, guard
        self._dialect, self._posting = dialect, posting
        self._log, self._default = log, default
        self._scope, self._call = scope, call_of(scope)
        self._last: Delivery | None = None

    def job(self) -> Delivery:
        """Returns what is to be done. Raises MunimentError where the call is not admitted now."""
        if self._last is None or self._call.authorization is not None:
            caller = self._guard.admit(self._call)
            if self._last is None or self._last.caller != caller:
                self._last = self._judge(caller)
        self._last.target.check()
        return self._last

    def _judge(self, caller: Caller) -> Delivery:
        caller.require(Right.WRITE)
        if self._posting.inner:
            check_source(self._posting.inner)
        context = self._context
        log = caller.choose_log(self._log, self._default)
        return Delivery(
            context,
            self._dialect,
            self._posting,
            self._dialect.coding(self._posting),
            caller,
            peer_text(self._scope.get("client")),
            Target(log, context.shards(log), context.lag_bound),
            idempotency_key(self._scope) or "",
        )

    def refused(self, error: MunimentError) -> Answer:
        """Returns the dialect's words for an error, with the headers that every one has.

        Shippers drop what is answered 408: one that was too slow is told to come again.
        """
        if isinstance(error, TooSlow):
            error = Unavailable(error.detail)
        self._context.meters.protocol(self._dialect.name).refused += 1
        return answer_of(self._dialect.refused(self._posting, error), headers_for(error))


def answer_of(reply: Reply, headers: dict[str, str] | None = None) -> Answer:
    """Returns a dialect's reply as header lines and a body."""
    lines: list[Any] = [*(headers or {}).items(), *reply.headers]
    if reply.status != NO_CONTENT:
        lines.append(("content-type", reply.media))
    text = "".join([f"{name}: {value}\r\n" for name, value in lines])
    return Answer(reply.status, text.encode("latin-1", "replace"), reply.body)
