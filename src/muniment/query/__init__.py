"""Query: search, tail, histogram and SQL over the index, in a process of its own."""

from __future__ import annotations

from muniment.query.client import QueryProcess

__all__ = ["QueryProcess"]
