"""Which store a command means: one of the settings, or one by its URL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from muniment.errors import SettingsError

if TYPE_CHECKING:
    from muniment.settings import Settings, StoreSettings
    from muniment.store.port import Store

Command = TypeVar("Command", bound=Callable[..., Any])


def config_option(command: Command) -> Command:
    """Adds --config, the settings of the server."""
    return click.option(
        "--config",
        type=click.Path(dir_okay=False, path_type=Path),
        help="The server's settings; ./muniment.toml by default, also MUNIMENT_CONFIG.",
    )(command)


def chosen_store(settings: Settings, name: str) -> StoreSettings:
    """Returns the store of that name or URL.

    One that the settings do not name is spoken to as its provider's SDK is set up. Raises
    SettingsError for a name that is neither.
    """
    from pydantic import ValidationError

    from muniment.settings import StoreSettings

    for store in settings.store:
        if name.rstrip("/") in (store.name, store.url):
            return store
    if "://" not in name:
        known = ", ".join(store.name for store in settings.store) or "none"
        raise SettingsError(
            f"there is no store {name!r} in the settings (there: {known}): give --config, or a URL"
        )
    try:
        return StoreSettings.model_validate({"url": name, "name": "store"})
    except ValidationError as error:
        reason = error.errors(include_url=False, include_input=False)[0]["msg"]
        raise SettingsError(str(reason).removeprefix("Value error, ")) from error


def other_stores(settings: Settings, chosen: StoreSettings) -> list[Store]:
    """Opens the other stores of the settings; none for a store that they do not name."""
    from muniment.store.opening import open_store

    if chosen not in settings.store:
        return []
    return [open_store(store, store.name) for store in settings.store if store != chosen]
