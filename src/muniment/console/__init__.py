"""The web face: static files that talk to the HTTP API and to nothing else."""

from __future__ import annotations

from pathlib import Path

__all__ = ["static_directory"]


def static_directory() -> Path:
    """The folder to serve at `/`: `index.html`, its style sheets and its ES modules.

    The pages work under `Content-Security-Policy: default-src 'self'` and fetch only from the
    server that they came from.
    """
    return Path(__file__).parent / "static"
