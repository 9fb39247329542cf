"""What the sections of the agent's configuration have in common, and which kinds there are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo

from muniment.settings.kinds import Name

KINDS = {
    "tail": "muniment.capture.feeds.tail",
    "journald": "muniment.capture.feeds.journald",
    "s3": "muniment.capture.feeds.s3",
    "files": "muniment.capture.systems.files",
    "haproxy": "muniment.capture.systems.haproxy",
    "nginx": "muniment.capture.systems.nginx",
    "traefik": "muniment.capture.systems.traefik",
    "envoy": "muniment.capture.systems.envoy",
    "kubernetes": "muniment.capture.systems.kubernetes",
    "aws": "muniment.capture.systems.aws",
}
"""The table of a section in the configuration (`[[haproxy]]`) and the module that serves it.

Such a module has a class `Settings` (a Section) and either `watchers(settings, redact)`, which
returns the Watchers of a section, or `feeds(settings)`, which returns its Feeds. It is imported
only where the configuration has such a section; what it needs from outside, only where it is used.
"""


def _from_folder(value: Path, info: ValidationInfo) -> Path:
    folder = (info.context or {}).get("folder")
    return value if folder is None else Path(folder) / value


Local = Annotated[Path, AfterValidator(_from_folder)]
"""A path that is taken from the folder of the configuration file, where there is one."""


class Section(BaseModel):
    """One table of the agent's configuration. `name` is unique among the sections of its kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: Name = Field(description="The instance, as object names and streams have it.")


class Watched(Section):
    """A section of something that is looked at."""

    every: Annotated[float, Field(ge=0.2, le=86_400)] = Field(
        default=5.0, description="Seconds between looks."
    )
