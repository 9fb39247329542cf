"""The receipt header: the first line of every entry, the same for a whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import orjson

from muniment.log.frame import MAX_ID_BYTES


@dataclass(frozen=True, slots=True)
class Origin:
    """What a receipt header says beside the time and the node.

    `via` is the protocol, `source` the parser (`as`; a path such as `otlp/nginx` names the parser
    of the envelope and that of the line in it), `peer` an `ip:port`, `sender` who was
    authenticated, `seq` the sender's number of the first record, `id` the batch's idempotency id,
    `about` what the sender said of the records beside their bytes, as pairs in a fixed order.
    `stream` is where `seq` counts and `prev` the head of its chain before these records, where
    the sender chains them.
    """

    via: str
    source: str
    peer: str = ""
    sender: str = ""
    seq: int | None = None
    id: str = ""
    about: tuple[tuple[str, str], ...] = ()
    stream: str = ""
    prev: str = ""

    @property
    def batch_id(self) -> str | None:
        """The id of a batch from here in the log: the sender's own, or None.

        The receipt header says the same, and verification compares them.
        """
        if not self.id:
            return None
        return f"{self.sender} {self.id}" if self.sender else self.id

    def identified(self, id_: str) -> Origin:
        """Returns this origin with an idempotency id; of one too long for a log, its digest."""
        found = replace(self, id=id_)
        if id_ and len((found.batch_id or "").encode()) > MAX_ID_BYTES:
            return replace(self, id=f"sha256:{sha256(id_.encode()).hexdigest()}")
        return found


def receipt_header(
    at: str, node: str, origin: Origin, part: Mapping[str, object] | None = None
) -> bytes:
    """Returns the header line with its newline. `at` is RFC 3339.

    Text that is no UTF-8 (lone surrogates) stands in it with replacement characters.
    """
    return b'{"at":"%b",%b' % (at.encode(), after_time(node, origin, part))


def after_time(node: str, origin: Origin, part: Mapping[str, object] | None = None) -> bytes:
    """Returns the header line behind its time, which is all that changes between batches."""
    fields: dict[str, object] = {"node": node, "via": origin.via}
    if origin.peer:
        fields["peer"] = origin.peer
    if origin.sender:
        fields["from"] = origin.sender
    fields["as"] = origin.source
    if origin.stream:
        fields["stream"] = origin.stream
    if origin.seq is not None:
        fields["seq"] = origin.seq
    if origin.prev:
        fields["prev"] = origin.prev
    if origin.id:
        fields["id"] = origin.id
    if origin.about:
        fields["about"] = {_plain(key): _plain(value) for key, value in origin.about}
    if part is not None:
        fields["part"] = part
    return orjson.dumps(fields, option=orjson.OPT_APPEND_NEWLINE)[1:]


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode()
