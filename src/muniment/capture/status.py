"""The status of a running agent, in a file beside its spool, for people and for monitoring."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import orjson

from muniment.capture.settings import AgentSettings
from muniment.capture.ship import Shipper
from muniment.capture.spool.spool import Spool
from muniment.clock import Clock, rfc3339
from muniment.errors import SettingsError

STATUS = "status.json"


def write_status(settings: AgentSettings, spool: Spool, shipper: Shipper, clock: Clock) -> None:
    """Replaces the status file. Raises OSError."""
    streams = {
        name: {
            "captured": standing.next - 1,
            "acknowledged": spool.outgoing.acknowledged.get(name),
            "position": standing.position,
        }
        for name, standing in spool.standings().items()
    }
    status = {
        "agent": settings.name,
        "time": rfc3339(clock.now()),
        "process": os.getpid(),
        "endpoint": shipper.endpoint,
        "trouble": shipper.trouble,
        "spool": {"held": spool.held, "max": int(settings.spool_max), "full": spool.full},
        "streams": streams,
    }
    draft = settings.state / f".{STATUS}.new"
    draft.write_bytes(orjson.dumps(status, option=orjson.OPT_APPEND_NEWLINE))
    draft.replace(settings.state / STATUS)


def read_status(state: Path) -> dict[str, Any]:
    """Returns the last status that an agent wrote. Raises SettingsError."""
    path = state / STATUS
    try:
        found = orjson.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise SettingsError(f"{path} is not there: has the agent run?") from error
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise SettingsError(f"{path} is no status of an agent")
    return found
