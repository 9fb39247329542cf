"""What looks at the log while it grows, and says what is missing from it."""

from __future__ import annotations

from muniment.watch.follower import Completeness

__all__ = ["Completeness"]
