"""What the sections of the agent's configuration have in common, and which kinds there are."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from muniment.settings.kinds import Name

KINDS = {
    "tail": "muniment.capture.tail",
    "journald": "muniment.capture.journald",
    "s3": "muniment.capture.s3",
    "files": "muniment.capture.files",
    "haproxy": "muniment.capture.haproxy",
    "nginx": "muniment.capture.nginx",
    "traefik": "muniment.capture.traefik",
    "envoy": "muniment.capture.envoy",
    "kubernetes": "muniment.capture.kubernetes",
    "aws": "muniment.capture.aws",
}
"""The table of a section in the configuration (`[[haproxy]]`) and the module that serves it.

Such a module has a class `Settings` (a Section) and either `watchers(settings, redact)`, which
returns the Watchers of a section, or `feeds(settings)`, which returns its Feeds. It is imported only
where the configuration has such a section; what it needs from outside, only where it is used.
"""


class Section(BaseModel):
    """One table of the agent's configuration. `name` is unique among the sections of its kind."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: Name = Field(description="The instance, as object names and streams have it.")


class Watched(Section):
    """A section of something that is looked at."""

    every: Annotated[float, Field(ge=0.2, le=86_400)] = Field(
        default=5.0, description="Seconds between looks."
    )
