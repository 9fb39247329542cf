"""The HTTP face: writing, reading, proofs, tiles, search, live tail, health, documentation."""

from __future__ import annotations

from muniment.api.app import build_app
from muniment.api.context import Context, Limits

__all__ = ["Context", "Limits", "build_app"]
