"""Single rules of how the record is shown to outsiders: names, modes, times of turns."""

import pytest

from osler.notes.model import ContentType, WrittenText
from osler.release.projection import markdown, split_name, turns_shown, variant_of
from osler.release.reading import WorkflowVariant
from osler.speech.model import Turn, Word


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("", None, None),
        ("  ", None, None),
        ("Nora", "Nora", None),
        ("Nora Quill", "Nora", "Quill"),
        ("  Nora   Jane  Quill ", "Nora Jane", "Quill"),
        ("Quill, Nora Jane", "Nora Jane", "Quill"),
        ("Quill,", None, "Quill"),
        (", Nora", "Nora", None),
        ("van der Berg, Jan", "Jan", "van der Berg"),
        ("Jan van der Berg", "Jan", "van der Berg"),
        ("Van Morrison", "Van", "Morrison"),
        ("Martin King Jr.", "Martin", "King Jr."),
        ("Martin King, Jr.", "Martin", "King Jr."),
        ("Mrs. Nora Quill", "Nora", "Quill"),
        ("Dr", "Dr", None),
        ("Mr. Quill", None, "Quill"),
        ("O'Neil-Ruiz", "O'Neil-Ruiz", None),
        ("李 小龍", "李", "小龍"),
    ],
)
def test_a_name_is_split_as_people_write_it(name: str, first: str | None, last: str | None) -> None:
    assert split_name(name) == (first, last)


@pytest.mark.parametrize("mode", ["phone", "Phone_Call", "PHONE-CALL", "phone call", "phoneCall", "telephone", "call"])
def test_what_calls_itself_a_phone_call_is_one(mode: str) -> None:
    assert variant_of(mode) is WorkflowVariant.PHONE_CALL


@pytest.mark.parametrize("mode", [None, "", "transcribe", "dictate", "video_call", "in_person", "headphones", "recall"])
def test_everything_else_is_ambient(mode: str | None) -> None:
    assert variant_of(mode) is WorkflowVariant.AMBIENT


def test_turns_are_by_time_and_each_has_its_seconds() -> None:
    word = Word("said", "said", 5.0, 5.5, 1.0, 0)
    turns = (
        Turn("clinician", "first", 1.0, 2.0),
        Turn("patient", "without times"),
        Turn("patient", "by its words", words=(word,)),
        Turn("clinician", "no end", 9.0),
        Turn("other 1", "spoken before that", 8.0, 8.5),
        Turn("patient", "the last"),
    )
    shown = turns_shown(turns)
    assert [(turn.text, turn.start, turn.end) for turn in shown] == [
        ("first", 1.0, 2.0),
        ("without times", 2.0, 5.0),
        ("by its words", 5.0, 5.5),
        ("spoken before that", 8.0, 8.5),
        ("no end", 9.0, 9.0),
        ("the last", 9.0, 9.0),
    ]
    assert turns_shown(()) == ()
    assert all(isinstance(second, float) for turn in shown for second in (turn.start, turn.end))


def test_text_without_any_times_keeps_its_order() -> None:
    shown = turns_shown([Turn("a", text) for text in ("one", "two", "three")])
    assert [(turn.text, turn.start, turn.end) for turn in shown] == [
        ("one", 0.0, 0.0), ("two", 0.0, 0.0), ("three", 0.0, 0.0)
    ]  # fmt: skip


def test_html_of_a_clinician_is_read_as_markdown_and_markdown_stays_as_it_is() -> None:
    html = "<h2>Plan</h2><p>Rest &amp; water</p><script>x</script><ul><li>One</li><li>Two</li></ul>"
    assert markdown(WrittenText(html, ContentType.HTML)) == "## Plan\n\nRest & water\n\n- One\n- Two"
    assert markdown(WrittenText("## Plan\n\n<b>& so on\n")) == "## Plan\n\n<b>& so on\n"
