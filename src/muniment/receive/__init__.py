"""Receivers: one protocol each, all through one intake that loses nothing it has taken."""

from __future__ import annotations

from muniment.receive.header import Origin
from muniment.receive.intake import Intake
from muniment.receive.port import Count, Receiver

__all__ = ["Count", "Intake", "Origin", "Receiver"]
