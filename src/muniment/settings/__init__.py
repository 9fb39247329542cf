"""The settings of a node, of its listeners and of its stores."""

from __future__ import annotations

from muniment.settings.fleet import FleetSettings, Role
from muniment.settings.kinds import MIB, Address, Network
from muniment.settings.listener import Listener, Protocol
from muniment.settings.node import PREFIX, Settings, default_node, load
from muniment.settings.store import (
    Connection,
    Durability,
    LockMode,
    Retention,
    StoreSettings,
    WalSettings,
)

__all__ = [
    "MIB",
    "PREFIX",
    "Address",
    "Connection",
    "Durability",
    "FleetSettings",
    "Listener",
    "LockMode",
    "Network",
    "Protocol",
    "Retention",
    "Role",
    "Settings",
    "StoreSettings",
    "WalSettings",
    "default_node",
    "load",
]
