"""Sentences of a note that a person edited as HTML: found under their headings, whatever was typed."""

from datetime import UTC, datetime

import pytest

from osler.notes.model import ContentType, NoteVersion, TextStatus, WrittenText
from osler.notes.placing import placed
from tests.growth import assert_grows_with_its_size


def edited(html: str) -> NoteVersion:
    content = WrittenText(html, ContentType.HTML)
    return NoteVersion(
        "note", "org", "visit", 1, datetime(2026, 11, 23, tzinfo=UTC), TextStatus.CREATED, "full", "goldilocks", content
    )


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<h2>Plan</h2><p>Rest.</p>", [("Plan", "Rest.")]),
        ("<h2 class='x'>Plan <b>B</b></h2 ><ul><li>Tea.</li></ul>", [("Plan B", "Tea.")]),
        ("<h1>begun<h2>Plan</h2>Rest.", [("", "begun"), ("Plan", "Rest.")]),
        ("<p>One.</p> < <p>Two.</p>", [("", "One."), ("", "Two.")]),
    ],
)
def test_each_sentence_stands_under_its_heading(html: str, expected: list[tuple[str, str]]) -> None:
    note = edited(html)
    found = placed(note)
    assert [(each.section, each.text) for each in found] == expected
    assert [html[each.start : each.end] for each in found] == [each.text for each in found]


@pytest.mark.parametrize("piece", ["<", "<h1>", "<a ", "<h1 ", "<h1>a</h1 ", "</h1 "])
def test_what_is_begun_and_never_ended_takes_a_time_that_grows_with_it(piece: str) -> None:
    assert_grows_with_its_size(lambda pieces: placed(edited(piece * pieces)), 50_000 // len(piece))
