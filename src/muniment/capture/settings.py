"""The agent's configuration: one TOML file, checked as a whole before anything starts."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, cast

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, ValidationError

from muniment.capture.places import line_of
from muniment.capture.section import KINDS, Section
from muniment.errors import SettingsError
from muniment.settings.kinds import MIB, Name

MAX_SECTIONS = 256


def _endpoint(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if (
        scheme not in ("http", "https")
        or not separator
        or not rest
        or any(c in " ?#" for c in rest)
    ):
        raise ValueError(f"{value!r} is no endpoint; write https://HOST:PORT")
    return value.rstrip("/")


Endpoint = Annotated[str, AfterValidator(_endpoint)]


class AgentSettings(BaseModel):
    """What stands at the top of the file; paths are taken from the folder of the file.

    Sizes take `64MiB` or plain bytes, times are seconds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name
    endpoints: tuple[Endpoint, ...] = Field(min_length=1, max_length=16)
    log: Name = "default"
    state: Path
    token_file: Path | None = None
    ca: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None
    timeout: float = Field(30.0, ge=1, le=600)
    spool_max: ByteSize = Field(ByteSize(1024 * MIB), ge=4 * MIB)
    parcel_bytes: ByteSize = Field(ByteSize(MIB), ge=1 << 10, le=8 * MIB)
    heads_every: float = Field(60.0, ge=1, le=86_400)
    given: Mapping[str, tuple[Section, ...]] = Field(default_factory=dict, exclude=True)

    def sections(self, kind: str) -> Sequence[Section]:
        """Returns the sections of a kind (`haproxy`), in their order in the file."""
        return self.given.get(kind, ())


def load(path: Path) -> AgentSettings:
    """Reads a configuration. Raises SettingsError that names the key and, where known, the line."""
    try:
        text = path.read_text(encoding="utf-8")
        table = tomllib.loads(text)
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: not TOML: {error}") from error
    complaints: list[str] = []
    found: dict[str, tuple[Section, ...]] = {}
    for kind in KINDS.keys() & table.keys():
        found[kind] = tuple(_sections(kind, table.pop(kind), path.parent, text, complaints))
    if "given" in table:
        complaints.append("given: there is no such setting")
        del table["given"]
    settings = None
    try:
        settings = AgentSettings.model_validate({**table, "given": found})
    except ValidationError as error:
        complaints += _complaints(error, (), text)
    complaints += _repeated(found, text)
    if complaints or settings is None:
        raise SettingsError("; ".join(f"{path}: {one}" for one in complaints))
    names = ("state", "token_file", "ca", "client_certificate", "client_key")
    given = {key: value for key in names if (value := getattr(settings, key)) is not None}
    return settings.model_copy(update={k: path.parent / v for k, v in given.items()})


def settings_class(kind: str) -> type[Section]:
    """Returns the class of a kind's sections."""
    return cast(type[Section], import_module(KINDS[kind]).Settings)


def _sections(
    kind: str, given: Any, folder: Path, text: str, complaints: list[str]
) -> Iterator[Section]:
    if not isinstance(given, list) or len(given) > MAX_SECTIONS:
        complaints.append(f"{kind}: write each as [[{kind}]], {MAX_SECTIONS} at most")
        return
    try:
        model = settings_class(kind)
    except ModuleNotFoundError as error:
        complaints.append(f"{kind}: {error}; it is not part of this installation")
        return
    for number, one in enumerate(given):
        try:
            yield model.model_validate(one, context={"folder": folder})
        except ValidationError as error:
            complaints += _complaints(error, (kind, number), text)


def _repeated(found: Mapping[str, Sequence[Section]], text: str) -> Iterator[str]:
    for kind, sections in found.items():
        names: set[str] = set()
        for number, section in enumerate(sections):
            if section.name in names:
                place = line_of(text, (kind, number, "name"))
                yield f"{place}{kind}.{number}.name: there is another {kind} {section.name!r}"
            names.add(section.name)


def _complaints(error: ValidationError, place: tuple[str | int, ...], text: str) -> Iterator[str]:
    for detail in error.errors(include_url=False, include_input=False):
        where = (*place, *detail["loc"])
        key = ".".join(map(str, where))
        if detail["type"] == "extra_forbidden":
            said = "there is no such setting"
        elif detail["type"] == "missing":
            said = "this setting is needed"
        else:
            said = detail["msg"].removeprefix("Value error, ")
        yield f"{line_of(text, where)}{key}: {said}" if key else said
