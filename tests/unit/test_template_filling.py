"""Filling a template: what is written, what is left out, and that nothing else appears."""

import re
from dataclasses import dataclass
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.notes.template_filling import Answer, Filled, Topic, fill
from osler.notes.template_language import parse, read
from osler.notes.template_rendering import filled_html, filled_markdown
from osler.notes.template_tree import PartKind


def filled(text: str, **answers: Answer) -> str:
    return fill(parse(text), answers).text


# What is written and what is left out


def test_a_note_is_filled() -> None:
    text = """# Subjective
Reason: [reason for visit] (one line)

- Past: [past history]
- Family: [family history]

## Exam
[exam]

# Plan
1. [plan] (one line each)
2. [follow-up]

---
"This note was written with a scribe."
"""
    assert filled(text, p1="cough", p3="", p5=["Chest X-ray.", "Amoxicillin 500 mg."], p6="One week.") == (
        "# Subjective\nReason: cough\n\n# Plan\n1. Chest X-ray.\n2. Amoxicillin 500 mg.\n3. One week.\n\n"
        '"This note was written with a scribe."\n'.replace('"', "")
    )


@pytest.mark.parametrize("nothing", [None, "", " \n ", [], ["", " "]])
def test_no_answer_is_left_out_with_its_line_section_and_heading(nothing: Answer) -> None:
    assert (
        filled("# A\nThe words: [x]\nMore words.\n## B\n- [y]\n# C\n[z]", p1=nothing, p2=nothing, p3="z") == "# C\nz\n"
    )


def test_a_heading_stands_for_what_is_below_it() -> None:
    assert filled("# A\n[x]\n## B\n### C\n[y]\n## D\n[z]", p2="y") == "# A\n## B\n### C\ny\n"


def test_quoted_text_is_copied_whatever_is_answered() -> None:
    text = '# A\n"Verbatim  [text], (really)" [x], and [y]\nliteral\n# B\n[z]'
    assert filled(text) == "# A\nVerbatim  [text], (really)\nliteral\n"
    assert filled(text, p2="y") == "# A\nVerbatim  [text], (really), and y\nliteral\n"


def test_a_section_of_fixed_words_stands() -> None:
    assert filled("# A\nFixed words.\n# B\n[x]\n# C\nFixed:\n## D\n[y]") == "# A\nFixed words.\n"


@pytest.mark.parametrize(
    ("line", "answers", "wanted"),
    [
        ("BP [bp], HR [hr], temp [t].", {"p1": "120/80", "p2": "70", "p3": "37"}, "BP 120/80, HR 70, temp 37."),
        ("BP [bp], HR [hr], temp [t].", {"p1": "120/80"}, "BP 120/80."),
        ("BP [bp], HR [hr], temp [t].", {"p2": "70"}, "HR 70."),
        ("BP [bp], HR [hr], temp [t].", {"p3": "37"}, "temp 37."),
        ("Vitals: BP [bp]; HR [hr]", {"p2": "70"}, "Vitals: HR 70"),
        ("Date: [d], Re: [name], born [dob]", {"p2": "Ann"}, "Re: Ann"),
        ("Date: [d], Re: [name], born [dob]", {"p1": "1 May", "p3": "1960"}, "Date: 1 May, born 1960"),
        ("Seen on [d]. Reported [x].", {"p2": "pain"}, "Reported pain."),
        ("Seen on [d]. Reported [x].", {"p1": "1 May"}, "Seen on 1 May."),
        ("[age]-year-old [sex] with [c]", {"p1": "45", "p3": "cough"}, "45-year-old with cough"),
        ("[a] (note) , [b] (note)", {"p1": "a", "p2": "b"}, "a, b"),
        ("[a]; [b]", {"p2": "b"}, "b"),
        ("Drugs: [a], none else", {"p1": ["A 1 mg", "B 2 mg"]}, "Drugs: A 1 mg; B 2 mg, none else"),
        ("Drugs: [a]", {"p1": ["He takes A.", "He stopped B."]}, "Drugs: He takes A. He stopped B."),
        ("Drugs: [a], daily", {"p1": "A."}, "Drugs: A. daily"),
        ("Drugs: [a].", {"p1": "A."}, "Drugs: A."),
        ("* [a]", {"p1": "one\ntwo"}, "* one\n* two"),
        ("[a]", {"p1": ["one", "two"]}, "one\ntwo"),
        ("Temp \\(°C\\): [t]", {"p1": "37"}, "Temp (°C): 37"),
        ("(only instructions) [a]", {"p1": "a"}, "a"),
    ],
)
def test_a_line_reads_well_whatever_is_missing(line: str, answers: dict[str, Answer], wanted: str) -> None:
    assert fill(parse(line), answers).text == f"{wanted}\n"


def test_numbered_lists_are_numbered_anew() -> None:
    text = "1. [a]\n2. [b]\n   1) [c]\n   2) [d]\n3. [e]\n\n1. [f]"
    assert filled(text, p2="b", p4=["d", "dd"], p5="e", p6="f") == "1. b\n   1) d\n   2) dd\n2. e\n\n1. f\n"


def test_a_problem_heads_its_plan() -> None:
    plan = [Topic("Gout"), "Colchicine.", "Urate in a week.", Topic("Asthma"), "No change."]
    made = fill(parse("# Plan\n[plan]\n1. [plan]\n\nIn short: [plan]"), {"p1": plan, "p2": plan, "p3": plan})
    assert made.text == (
        "# Plan\n**Gout**\n- Colchicine.\n- Urate in a week.\n\n**Asthma**\n- No change.\n"
        "1. Gout\n   - Colchicine.\n   - Urate in a week.\n2. Asthma\n   - No change.\n\n"
        "In short: Gout: Colchicine. Urate in a week. Asthma: No change.\n"
    )
    assert [made.text[span.start : span.end] for span in made.spans] == [str(each) for each in plan] * 3
    html = filled_html(made)
    assert "<p><strong>Gout</strong></p>\n<ul><li>Colchicine.</li>" in html
    assert "<ol><li>Gout<ul><li>Colchicine.</li>" in html


def test_no_answers_no_text_and_answers_to_nothing_are_not_read() -> None:
    made = fill(parse("# A\nWords: [x]"), {"p7": "y"})
    assert (made.text, made.spans, made.answered) == ("", (), frozenset())


def test_it_is_known_where_each_answer_stands() -> None:
    made = fill(parse("# [a]\n  - B: [b], [c]\n1. [d]"), {"p1": "é𝒜", "p2": ["b", "bb"], "p4": ["d", "dd"]})
    assert made.text == "# é𝒜\n  - B: b; bb\n1. d\n2. dd\n"
    found = [(span.placeholder, span.answer, made.text[span.start : span.end]) for span in made.spans]
    assert found == [("p1", 0, "é𝒜"), ("p2", 0, "b"), ("p2", 1, "bb"), ("p4", 0, "d"), ("p4", 1, "dd")]
    assert made.answered == {"p1", "p2", "p4"}


def test_answers_make_no_markup() -> None:
    made = fill(
        parse("# Plan\n[a]\n- **B**: [b]"), {"p1": ["# x", "1. y", "- z", "+ q"], "p2": "<b>*c*</b> **d** [e](f)"}
    )
    assert filled_markdown(made) == (
        "# Plan\n\\# x\n1\\. y\n\\- z\n\\+ q\n- **B**: &lt;b>\\*c\\*&lt;/b> \\*\\*d\\*\\* \\[e\\](f)\n"
    )
    assert filled_html(made) == (
        "<h1>Plan</h1>\n<p># x<br>1. y<br>- z<br>+ q</p>\n<ul><li><strong>B</strong>: "
        "&lt;b&gt;&#42;c&#42;&lt;/b&gt; &#42;&#42;d&#42;&#42; [e](f)</li></ul>\n"
    )


# Nothing else appears, for any template


@dataclass(frozen=True)
class Made:
    """A template whose every word says what it is, and answers to some of its placeholders."""

    text: str
    answers: dict[str, Answer]


@st.composite
def made_templates(draw: st.DrawFn) -> Made:
    """Words are l1 (literal), p1 (placeholder), i1 (instruction), v1 (verbatim), h1 (heading), a1 (answer)."""
    count = iter(range(10_000))
    space = st.sampled_from(["", " ", "  "])
    between = st.sampled_from(["", " ", ", ", ". ", "; ", ": ", "-", " \\(", "\\) "])
    made = {"l": "{}", "p": "[{}]", "i": "({})", "v": '"{}"'}
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 12))):
        kind = draw(st.sampled_from(["line", "line", "line", "heading", "blank", "divider", "label"]))
        if kind == "heading":
            lines.append(f"{'#' * draw(st.integers(1, 4))} h{next(count)}{draw(st.sampled_from(['', ' (i0)']))}")
        elif kind == "label":
            lines.append(f"h{next(count)}:")
        elif kind == "line":
            words = draw(st.lists(st.sampled_from("lppiv"), min_size=1, max_size=6))
            mark = draw(st.sampled_from(["", "", "- ", "1. ", "  - "]))
            parts = [made[each].format(f"{each}{next(count)}") + draw(between) + draw(space) for each in words]
            lines.append(mark + "".join(parts))
        else:
            lines.append("---" if kind == "divider" else "")
    text = "\n".join(lines)
    answers: dict[str, Answer] = {}
    for part in read(text)[0].placeholders:
        texts = [f"a{next(count)}{draw(st.sampled_from(['', '.', ' a0']))}" for _ in range(draw(st.integers(0, 3)))]
        answers[part.id] = draw(st.sampled_from([texts, "\n".join(texts), texts[0] if texts else None]))
    return Made(text, answers)


def words(text: str) -> list[str]:
    return re.findall(r"[a-z]\d+", text)


def texts(answer: Answer) -> list[str]:
    return [] if not answer else answer.split("\n") if isinstance(answer, str) else list(answer)


@given(made_templates())
def test_no_instruction_and_no_placeholder_is_ever_written(made: Made) -> None:
    written = words(fill(read(made.text)[0], made.answers).text)
    assert not [word for word in written if word[0] in "ip"]


@given(made_templates())
def test_every_answer_and_all_quoted_text_is_written_once_in_order(made: Made) -> None:
    tree = read(made.text)[0]
    wanted: list[str] = []
    for section in tree.sections:
        for line in section.lines:
            for part in line.parts:
                if part.kind is PartKind.PLACEHOLDER:
                    wanted += words(" ".join(texts(made.answers[part.id])))
                elif part.kind is PartKind.VERBATIM:
                    wanted += words(part.text)
    written = words(fill(tree, made.answers).text)
    assert [word for word in written if word[0] in "av"] == wanted


@given(made_templates())
def test_nothing_is_written_but_literals_quoted_text_answers_and_marks(made: Made) -> None:
    text = fill(read(made.text)[0], made.answers).text
    given_words = words(made.text)
    literals = [word for word in words(text) if word[0] in "lh"]
    assert literals == [word for word in given_words if word in set(literals)], "each once, in the author's order"
    rest = re.sub(r"[a-z]\d+", "", text)
    rest = re.sub(r"(?m)^( *)(- |\d+\. |#+ )", "", rest)
    assert re.fullmatch(r"[ ,.;:()\n-]*", rest)


@given(made_templates())
def test_no_heading_stands_over_nothing_and_no_gap_is_left(made: Made) -> None:
    text = fill(read(made.text)[0], made.answers).text
    assert "\n\n\n" not in text
    assert not text.startswith("\n")
    assert not text.endswith("\n\n")
    lines = [line for line in text.split("\n") if line]
    for line, following in pairwise([*lines, "# "]):
        if line.startswith("#") and following.startswith("#"):
            level, next_level = (len(each) - len(each.lstrip("#")) for each in (line, following))
            assert next_level > level, "a heading over nothing"


@given(made_templates())
def test_spans_lead_to_the_answers(made: Made) -> None:
    result: Filled = fill(read(made.text)[0], made.answers)
    assert result.answered == {each for each, answer in made.answers.items() if texts(answer)}
    for span in result.spans:
        assert result.text[span.start : span.end] == texts(made.answers[span.placeholder])[span.answer].strip()


@given(made_templates())
def test_html_and_markdown_say_what_the_text_says(made: Made) -> None:
    result = fill(read(made.text)[0], made.answers)
    assert words(re.sub(r"</?[a-z]+\d?>", " ", filled_html(result))) == words(result.text)
    assert words(filled_markdown(result)) == words(result.text)


@given(st.text(alphabet='[]()"#-*+:., ;1a B\n\t\\', max_size=60), st.text(max_size=20))
def test_any_text_can_be_filled_with_anything(text: str, answer: str) -> None:
    tree = read(text)[0]
    made = fill(tree, {part.id: answer for part in tree.placeholders})
    for span in made.spans:
        assert made.text[span.start : span.end] in answer
    filled_html(made)
    filled_markdown(made)
