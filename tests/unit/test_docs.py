"""The documents say what the code does: a setting or a file that they leave out or invent is red."""

import re
from pathlib import Path

import pytest

from osler.config import Settings
from osler.logs import FIELDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(p for p in ROOT.rglob("*.md") if not any(part.startswith(".") for part in p.relative_to(ROOT).parts))


def test_every_setting_is_documented_and_no_other() -> None:
    text = (ROOT / "docs/reference/settings.md").read_text()
    assert set(re.findall(r"^\| `(OSLER_\w+)`", text, re.MULTILINE)) == {
        f"OSLER_{name.upper()}" for name in Settings.model_fields
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#\s]+)", document.read_text()):
        assert (document.parent / target).exists(), f"a dead link to {target}"


def test_every_field_of_a_log_line_is_documented_and_no_other() -> None:
    text = (ROOT / "docs/reference/health-and-logs.md").read_text().partition("## Logs")[2]
    rows = re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)
    named = {field for row in rows for field in re.findall(r"`(\w+)`", row)}
    always = {"timestamp", "level", "event", "logger", "causes", "frames", "dropped"}
    assert named == {*FIELDS, *always}
