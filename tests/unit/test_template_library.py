"""Osler's own templates: complete, clean, and such that everything in them can be filled from a visit."""

import re
from collections import Counter
from pathlib import Path

import pytest

from osler.notes import template_language
from osler.notes.template_filling import fill
from osler.notes.template_language import parse
from osler.notes.template_library import MOST_TEMPLATES, built_in_templates, check
from osler.notes.template_model import StoredTemplate, TemplateCategory
from osler.notes.template_placeholders import distribute, resolve, targets_of
from osler.notes.template_rendering import template_html
from osler.notes.template_tree import PartKind
from osler.notes.templates import part_names

ALL = built_in_templates()
NOTES = [each for each in ALL if each.category is TemplateCategory.CONSULT_NOTE]
IDS = {
    "17cf925978450961a853cd40": "SOAP note",
    "9a2984b116e062444e92d053": "History and physical",
    "17fa7cd934deab529731c2f5": "Progress note",
    "7c8e091745f4f86341706f88": "Problem-based consult",
    "42bf2233ca3a956a1b3b06a3": "Telehealth or phone call",
    "d53a22683fc0dd4966c8509a": "Mental health consult",
    "0c5008979e602aa7f03cc12e": "Paediatric consult",
    "ff1ad3c29b571c55ea09e4bc": "Physiotherapy consult",
    "eb5e3698a363be3746cc817f": "Referral letter",
    "b917805a3e108ed9007805aa": "Patient summary in plain words",
    "3f2b81b5c79d879ae3b4ef6f": "Medical certificate",
    "e78e78b58c9252c08e9c1772": "After-visit instructions",
}


def by_name(template: StoredTemplate) -> str:
    return template.name


def test_the_twelve_keep_their_ids_and_order() -> None:
    assert {each.id: each.name for each in ALL} == IDS
    assert [each.name for each in ALL] == list(IDS.values())
    assert [each.name for each in NOTES] == list(IDS.values())[:8]
    assert {each.author_name for each in ALL} == {"Osler"}


@pytest.mark.parametrize("template", ALL, ids=by_name)
def test_there_is_nothing_to_warn_of(template: StoredTemplate) -> None:
    assert [str(problem) for problem in check(template.text)] == []
    assert parse(template.text).text == template.text
    assert template_html(template.tree).count("<h") == len([s for s in template.tree.sections if s.heading])


@pytest.mark.parametrize("template", ALL, ids=by_name)
def test_every_placeholder_can_be_filled_and_none_asks_for_what_another_asks_for(template: StoredTemplate) -> None:
    targets = targets_of(template.tree)
    assert all(targets.values())
    asked = Counter(target for wanted in targets.values() for target in wanted)
    assert [target for target, count in asked.items() if count > 1] == []


@pytest.mark.parametrize("template", NOTES, ids=by_name)
def test_a_note_has_a_place_for_whatever_a_visit_holds(template: StoredTemplate) -> None:
    sentences = [(part, "Xyz.") for part in part_names()]
    placed = {index for indexes in distribute(template.tree, sentences).values() for index in indexes}
    assert [part for index, (part, _) in enumerate(sentences) if index not in placed] == []


@pytest.mark.parametrize("template", NOTES, ids=by_name)
def test_a_visit_of_which_nothing_is_known_gives_no_word(template: StoredTemplate) -> None:
    assert fill(template.tree, {}).text == ""


@pytest.mark.parametrize("template", ALL, ids=by_name)
def test_a_full_visit_leaves_no_mark_of_the_language(template: StoredTemplate) -> None:
    made = fill(template.tree, {part.id: ["Something said.", "And more."] for part in template.tree.placeholders})
    quoted = [p.text for s in template.tree.sections for line in s.lines for p in line.of(PartKind.VERBATIM)]
    assert not re.search(r'[\[\]()"\\]', made.text)
    assert all(text in made.text for text in quoted)
    assert [s.title for s in template.tree.sections if s.title and s.title not in made.text] == []


def test_a_certificate_has_no_place_for_a_diagnosis() -> None:
    (certificate,) = (each for each in ALL if each.name == "Medical certificate")
    told = [(part, "Depression.") for part in part_names()]
    assert distribute(certificate.tree, told) == {}
    assert distribute(certificate.tree, [("assessment_plan", "Restart sertraline 50 mg.")]) == {}
    unfit = distribute(certificate.tree, [("assessment_plan", "Unfit for work until Friday."), ("hpi", "Cannot work.")])
    assert list(unfit.values()) == [(0,)]


def test_the_document_of_the_language_shows_a_template_and_the_bounds() -> None:
    text = (Path(__file__).parents[2] / "docs/reference/template-language.md").read_text()
    example = text.split("```\n")[1]
    assert check(example) == ()
    for bound in (
        template_language.MOST_TEXT,
        template_language.MOST_PLACEHOLDERS,
        template_language.MOST_PLACEHOLDER,
        template_language.MOST_INSTRUCTION,
        template_language.MOST_VERBATIM,
        template_language.MOST_HEADING,
        MOST_TEMPLATES,
    ):
        assert f"{bound:,} " in text
    for phrases in re.findall(
        r"^\| [a-z ,]+ \| (`.*) \|$", text.split("## What a placeholder can ask for")[1], re.MULTILINE
    ):
        for phrase in re.findall("`([^`]+)`", phrases):
            assert resolve(phrase), phrase
