"""The Terraform examples: HCL that parses, formatted as Terraform formats it, whose references lead
somewhere. No provider is at hand, so that nothing checks the names of their arguments."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.chart import ROOT

HERE = ROOT / "deploy" / "terraform"
FILES = sorted(HERE.rglob("*.tf"))
FOLDERS = sorted({path.parent for path in FILES})
NAMED = lambda path: str(path.relative_to(HERE))  # noqa: E731


def parsed(path: Path) -> dict[str, Any]:
    hcl2 = pytest.importorskip("hcl2")
    with path.open() as file:
        found: dict[str, Any] = hcl2.load(file)
    return found


@pytest.mark.parametrize("path", FILES, ids=NAMED)
def test_it_is_hcl(path: Path) -> None:
    assert parsed(path)


def test_terraform_would_format_it_the_same_way() -> None:
    program = shutil.which("terraform") or pytest.skip("terraform is not installed here")
    done = subprocess.run(
        [program, "fmt", "-check", "-recursive", "-diff", str(HERE)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMED)
def test_every_reference_leads_somewhere(folder: Path) -> None:
    text = "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))
    variables = set(re.findall(r'^variable "(\w+)"', text, re.MULTILINE))
    resources = set(re.findall(r'^resource "(\w+)" "(\w+)"', text, re.MULTILINE))
    data = set(re.findall(r'^data "(\w+)" "(\w+)"', text, re.MULTILINE))
    assert set(re.findall(r"\bvar\.(\w+)", text)) == variables
    used = set(re.findall(r"(?<![\w.\"/])((?:aws|azurerm|google)_\w+)\.(\w+)", text))
    used_data = set(re.findall(r"\bdata\.(\w+)\.(\w+)", text))
    assert used <= resources | data and used_data == data
    assert used - data <= resources


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMED)
def test_a_jurisdiction_has_a_name_of_its_own(folder: Path) -> None:
    text = "\n".join(path.read_text() for path in folder.glob("*.tf"))
    assert "jurisdiction" in text
