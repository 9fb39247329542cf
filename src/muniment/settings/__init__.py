"""The settings of a node and of its listeners."""

from __future__ import annotations

from muniment.settings.kinds import MIB, Address, Network
from muniment.settings.listener import Listener, Protocol
from muniment.settings.node import PREFIX, Settings, default_node, load

__all__ = [
    "MIB",
    "PREFIX",
    "Address",
    "Listener",
    "Network",
    "Protocol",
    "Settings",
    "default_node",
    "load",
]
