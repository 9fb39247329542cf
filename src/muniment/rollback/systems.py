"""Which systems' objects can be put back, and where their appliers are."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from muniment.capture.redaction import redactor
from muniment.errors import SettingsError
from muniment.rollback.port import Applier, CannotRollBack

if TYPE_CHECKING:
    from muniment.capture.settings import AgentSettings
    from muniment.capture.snapshot import ObjectName

_APPLIERS = {
    "haproxy": "muniment.rollback.haproxy",
    "nginx": "muniment.rollback.nginx",
    "kubernetes": "muniment.rollback.kubernetes",
    "aws": "muniment.rollback.aws",
}
"""The system of an object and the module whose `applier(settings, redact)` acts on it."""


def applier_of(name: ObjectName, settings: AgentSettings, secret: bytes) -> Applier:
    """Returns the applier of the instance that an object is part of.

    `settings` are the agent's, which say where the instance is reached; `secret` is its redaction
    key. Raises CannotRollBack for a system that can only be looked at, SettingsError for an
    instance that the settings do not have.
    """
    place = _APPLIERS.get(name.system)
    if place is None:
        systems = ", ".join(_APPLIERS)
        raise CannotRollBack(
            f"objects of {name.system} are only looked at; those of {systems} can be put back"
        )
    for section in settings.sections(name.system):
        if section.name == name.instance:
            applier: Applier = import_module(place).applier(section, redactor(secret))
            return applier
    raise SettingsError(
        f"the agent's configuration has no [[{name.system}]] with the name {name.instance!r}"
    )
