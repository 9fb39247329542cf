"""The Helm chart as Helm renders it; Helm itself is built from the module proxy."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.harness.programs import go_program

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "muniment"
VALUES = sorted((CHART / "ci").glob("*.yaml"))
RELEASE, NAMESPACE = "mun", "evidence"
COST = "about 2 minutes of CPU"
KUBERNETES = ["--kube-version", "1.30.14"]
"""Helm builds without a Kubernetes version of its own; that of the API server in the tests."""

Manifest = dict[str, Any]


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """Runs Helm to its end; the test is skipped where it cannot be built."""
    program = go_program("helm", heavy=COST, package="helm.sh/helm/v3/cmd/helm")
    return subprocess.run(
        [str(program), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@cache
def rendered(values: Path, *sets: str) -> tuple[Manifest, ...]:
    """Returns the manifests that a file of values gives, in their order."""
    words = [word for one in sets for word in ("--set", one)]
    done = helm(
        "template", RELEASE, str(CHART), "-n", NAMESPACE, "-f", str(values), *words, *KUBERNETES
    )
    assert done.returncode == 0, done.stderr
    return tuple(one for one in yaml.safe_load_all(done.stdout) if one)


def of_kind(manifests: tuple[Manifest, ...], *kinds: str) -> list[Manifest]:
    """Returns the manifests of these kinds."""
    return [one for one in manifests if one["kind"] in kinds]


def pods(manifests: tuple[Manifest, ...]) -> Iterator[tuple[str, Manifest]]:
    """The pods of all workloads: the workload's name, the pod's template."""
    for one in of_kind(manifests, "StatefulSet", "Deployment"):
        yield one["metadata"]["name"], one["spec"]["template"]
