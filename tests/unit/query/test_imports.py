"""The node's process stays small: what reads columns is the query process's business."""

from __future__ import annotations

import subprocess
import sys


def test_a_node_imports_no_data_frames_and_no_sdk_of_a_store() -> None:
    heavy = ("polars", "duckdb", "deltalake", "boto3", "botocore", "azure.storage", "google.cloud")
    code = f"import sys, muniment.node; print([m for m in {heavy!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (found.returncode, found.stdout) == (0, "[]\n"), found.stderr
