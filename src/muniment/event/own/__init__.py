"""Parsers of an administrator's own: a TOML file with patterns, or a Python file with a source.

`load` reads one file, `load_directory` all of a directory, `use_directory` makes them known; `Own`
is what a file made.
"""

from muniment.event.own.load import Own, load, load_directory, use_directory

__all__ = ["Own", "load", "load_directory", "use_directory"]
