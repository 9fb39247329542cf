"""The Fluentd forward protocol, version 1: messages, handshake, acknowledgement, heartbeat."""

from __future__ import annotations

from muniment.receive.forward.receiver import Forward

__all__ = ["Forward"]
