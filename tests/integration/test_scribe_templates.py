"""Templates through the scribe API: for both kinds of readers, on both paths."""

from typing import Any

import pytest

from osler.audit.model import OPERATOR
from osler.notes.template_library import built_in_templates
from osler.notes.template_model import TemplateCategory
from tests.scribe_practice import Clinician, Town, ok
from tests.scribe_practice import clinician as clinician
from tests.scribe_practice import shared_town as shared_town

pytestmark = pytest.mark.anyio

PATHS = ("/templates/document-templates", "/templates/consult-note-templates")

HOSTILE = """# <script>alert("x")</script>

Seen for [reason for visit] (briefly; '; DROP TABLE templates; --)

"All of it <b>verbatim</b> & so on."
"""


async def add(clinician: Clinician, text: str, name: str = "House style") -> str:
    template, _ = await clinician.core.templates.add(
        OPERATOR, clinician.organization.id, name, TemplateCategory.CONSULT_NOTE, text, "Dr Quill"
    )
    return template.id


@pytest.mark.parametrize("path", PATHS)
async def test_the_same_templates_are_parsed_for_one_reader_and_written_for_the_other(
    clinician: Clinician, path: str
) -> None:
    added = await add(clinician, HOSTILE)
    body = ok(await clinician.get(path))
    assert set(body) == {"data", "templates"}
    own = [template.id for template in built_in_templates()]
    assert [each["id"] for each in body["data"]] == [each["id"] for each in body["templates"]] == [*own, added]
    assert {each["template_category"] for each in body["data"]} == {"CONSULT_NOTE_TEMPLATE", "DOCUMENT_TEMPLATE"}
    for parsed, written in zip(body["data"], body["templates"], strict=True):
        structure = parsed["structure_template"]
        assert structure["text"] == written["structure_template"] and structure["sections"]
        assert {**parsed, "structure_template": None} == {**written, "structure_template": None}
        assert all(isinstance(each["template_html"], str) and each["name"] for each in (parsed, written))
    assert written["structure_template"] == HOSTILE and written["author_name"] == "Dr Quill"
    assert "<script>" not in written["template_html"] and "&lt;script&gt;" in written["template_html"]


async def test_a_practices_own_templates_are_its_own(shared_town: Town, clinician: Clinician) -> None:
    stranger = await shared_town.clinician()
    added = await add(clinician, "# Plan\n\n[plan]\n")

    async def ids(who: Clinician) -> set[Any]:
        return {each["id"] for each in ok(await who.get(PATHS[0]))["data"]}

    assert added in await ids(clinician) and added not in await ids(stranger)
    await clinician.core.templates.remove(OPERATOR, clinician.organization.id, added)
    assert added not in await ids(clinician)
