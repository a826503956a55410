"""Templates: which there are, and what an unknown name says."""

import pytest

from osler.kernel.errors import UnknownNameError
from osler.notes.templates import load_template, part_names, template_names


def test_the_four_templates_exist() -> None:
    assert set(template_names()) == {"full", "soap", "progress", "problem-based"}


@pytest.mark.parametrize("name", template_names())
def test_every_template_has_a_place_for_every_part_once(name: str) -> None:
    parts = [part for section in load_template(name).sections for part in section.parts]
    assert sorted(parts) == sorted(part_names())


def test_the_full_note_has_the_conventional_headings_in_order() -> None:
    headings = [section.heading for section in load_template("full").sections]
    assert headings[0] == "Chief Complaint"
    assert headings.index("History of Present Illness") < headings.index("Review of Systems")
    assert headings.index("Physical Examination") < headings.index("Results") < headings.index("Assessment and Plan")


@pytest.mark.parametrize("name", ["", "FULL", "../full", "soap.toml", "nonsense"])
def test_an_unknown_name_is_answered_with_the_names_that_exist(name: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        load_template(name)
    for known in template_names():
        assert known in str(caught.value)
