"""What stands where below the folder of a fleet on one machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OWN = 0o700
"""The mode of the folders: keys, tokens and evidence are nobody else's."""


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Places:
    """The paths in a fleet's folder, which is absolute."""

    folder: Path

    @property
    def plan(self) -> Path:
        """What the fleet is made of: its nodes, their ports."""
        return self.folder / "fleet.json"

    @property
    def control(self) -> Path:
        """The socket on which a running fleet is told what to do."""
        return self.folder / "control"

    @property
    def lock(self) -> Path:
        """The file that the process which runs the fleet has locked."""
        return self.folder / "lock"

    @property
    def authority(self) -> Identity:
        """The fleet's own certificate authority."""
        return Identity(self.folder / "ca.pem", self.folder / "tls" / "ca.key")

    def identity(self, name: str) -> Identity:
        """The certificate of a node, of the edge or of the client."""
        return Identity(self.folder / "tls" / f"{name}.pem", self.folder / "tls" / f"{name}.key")

    @property
    def edge_pem(self) -> Path:
        """The edge's certificate and its key in one file, as balancers want them."""
        return self.folder / "tls" / "edge-with-key.pem"

    @property
    def tokens(self) -> Path:
        """The tokens of all nodes."""
        return self.folder / "tokens.json"

    @property
    def fleet_token(self) -> Path:
        """The token that the nodes show each other."""
        return self.folder / "tls" / "fleet.token"

    @property
    def demo_token(self) -> Path:
        """The token that the load of a demonstration writes with."""
        return self.folder / "tls" / "demo.token"

    @property
    def takeover_secret(self) -> Path:
        """What the keys of the shards are encrypted with in the write-ahead store."""
        return self.folder / "tls" / "takeover.secret"

    @property
    def store(self) -> Path:
        """The folder of the shared store, where it is not elsewhere."""
        return self.folder / "store"

    @property
    def edge(self) -> Path:
        """The description of the edge."""
        return self.folder / "edge.toml"

    def node(self, name: str) -> Path:
        """The folder of a node."""
        return self.folder / name

    def settings(self, name: str) -> Path:
        """The settings of a node; made once, then the operator's."""
        return self.node(name) / "muniment.toml"

    def data(self, name: str) -> Path:
        """The data directory of a node."""
        return self.node(name) / "data"

    def log(self, name: str) -> Path:
        """What a process of the fleet printed."""
        return self.folder / f"{name}.log"
