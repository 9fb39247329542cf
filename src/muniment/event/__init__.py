"""What the bytes of an entry mean: OCSF columns, and one parser a source of logs."""

from __future__ import annotations

from muniment.event.decode import decode, decode_packed
from muniment.event.schema import SCHEMA

__all__ = ["SCHEMA", "decode", "decode_packed"]
