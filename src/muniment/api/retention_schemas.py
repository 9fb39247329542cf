"""The JSON of retention and legal holds: what is asked, what is answered."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from muniment.store.retention.hold import What


class NewHold(BaseModel):
    """What to hold: an object, or what a query finds, or else the whole log."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    name: str = Field(description="letters, digits, `.`, `_`, `-`; 64 at most")
    reason: str
    object: str = Field("", max_length=1_024, description="a tracked object: later entries too")
    query: str = Field("", description="what it finds now; all, with `from` or `to` alone")
    start: str = Field("", alias="from", max_length=64, description="entries from this instant on")
    end: str = Field("", alias="to", max_length=64, description="entries before this instant")


class ShownHold(BaseModel):
    """A legal hold, and where the entry that placed it stands."""

    name: str
    reason: str
    actor: str
    placed: str
    what: What
    object: str
    query: str
    start: str = Field(alias="from")
    end: str = Field(alias="to")
    entries: int = Field(description="that its ranges cover; 0 for a hold on the whole log")
    on_record: bool = Field(description="false while its entry is not in the log yet")
    releasing: bool = Field(description="its release waits to be put on record")
    shard: str
    index: int


class ShownHolds(BaseModel):
    """The holds of a log."""

    holds: list[ShownHold]


class ShownPolicy(BaseModel):
    """A retention as it was recorded; times in seconds, 0 for none."""

    number: int = Field(description="0 where none was ever set: kept for ever, without our locks")
    minimum: int
    maximum: int
    set: str


class ShownShard(BaseModel):
    """How far a shard has expired."""

    shard: str
    minimum: int = Field(description="the first entry that has not expired")
    size: int
    next: str = Field(description="when the next segment may expire; empty where unknown")
    kept_back: str = Field(description="what keeps a segment that is old enough")
    kept: dict[str, int] = Field(description="by store: expired segments that it does not let go")
    behind: dict[str, str] = Field(description="by store: why it could not be asked")


class ShownStore(BaseModel):
    """How far a store follows the retention."""

    store: str
    policy: int = Field(description="the number of the policy that all its objects follow")
    extended: int = Field(description="locks that were extended since the start")
    trouble: str


class RetentionAnswer(BaseModel):
    """The retention of a log."""

    policy: ShownPolicy
    shards: list[ShownShard]
    stores: list[ShownStore]
    holds: list[ShownHold]
    trouble: str
