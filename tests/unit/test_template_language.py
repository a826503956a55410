"""The template language: its tree, its round trip, and the exact places of what is wrong."""

from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osler.kernel.errors import InvalidFieldError
from osler.notes.template_language import MOST_PLACEHOLDERS, MOST_TEXT, parse, read
from osler.notes.template_library import check
from osler.notes.template_rendering import template_html
from osler.notes.template_tree import BOLD, CAPITALS, LABEL, PartKind, TemplateText
from tests.growth import assert_grows_with_its_size

EXAMPLE = """# Subjective (no headings for what was not said)
Reason: [reason for visit] (one line)

- Past: [past medical history], since [year]
"This note was made with the patient's \\"consent\\"."
## Plan
1. [plan]
   a) [details]
"""

NOISE = st.text(alphabet='[]()"“”\\#-*+:.,;1a B\n\r\t\0\u2028é', max_size=80)


def kinds(tree: TemplateText) -> list[list[tuple[PartKind, str]]]:
    return [[(part.kind, part.text) for part in line.parts] for section in tree.sections for line in section.lines]


def places(text: str) -> list[tuple[int, int, str]]:
    """Return line, column and first words of each error."""
    return [(each.line, each.column, each.message) for each in read(text)[1] if not each.is_warning]


def test_a_template_is_a_plain_tree() -> None:
    tree = parse(EXAMPLE)
    assert [(section.level, section.title) for section in tree.sections] == [(1, "Subjective"), (2, "Plan")]
    assert kinds(tree)[0] == [
        (PartKind.LITERAL, "Reason: "),
        (PartKind.PLACEHOLDER, "reason for visit"),
        (PartKind.LITERAL, " "),
        (PartKind.INSTRUCTION, "one line"),
    ]
    assert kinds(tree)[3] == [(PartKind.VERBATIM, 'This note was made with the patient\'s "consent".')]
    assert [(line.indent, line.mark) for line in tree.sections[1].lines] == [("", "1. "), ("   ", "a) ")]
    assert [(p.id, p.line, p.column) for p in tree.placeholders] == [
        ("p1", 2, 9),
        ("p2", 4, 9),
        ("p3", 4, 39),
        ("p4", 7, 4),
        ("p5", 8, 7),
    ]


def test_what_steers_a_placeholder_is_told_with_it() -> None:
    first, _, year, *_, last = parse(f"{EXAMPLE}(be brief)\n").uses()
    assert (first.headings, first.label) == (("Subjective",), "Reason:")
    assert first.instructions == ("one line", "no headings for what was not said")
    assert year.label == ", since"
    assert (last.headings, last.label, last.instructions) == (("Subjective", "Plan"), "", ("be brief",))


def test_the_json_form_has_the_text_and_the_sections() -> None:
    data = parse("## Plan (short)\n  - A \\(b\\): [plan]\n").to_json()
    assert data == {
        "text": "## Plan (short)\n  - A \\(b\\): [plan]\n",
        "sections": [
            {
                "heading": "Plan",
                "level": 2,
                "heading_parts": [
                    {"type": "literal", "text": "Plan "},
                    {"type": "instruction", "text": "short"},
                ],
                "lines": [
                    {
                        "indent": 2,
                        "mark": "-",
                        "parts": [
                            {"type": "literal", "text": "A (b): "},
                            {"type": "placeholder", "text": "plan", "id": "p1"},
                        ],
                    }
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("line", "level", "title"),
    [
        ("# One", 1, "One"),
        ("###### Six", 6, "Six"),
        ("ASSESSMENT AND PLAN", CAPITALS, "ASSESSMENT AND PLAN"),
        ("**Plan**", BOLD, "Plan"),
        ("**Plan:**", BOLD, "Plan"),
        ("**Plan**:", BOLD, "Plan"),
        ("Past history: (only if said)", LABEL, "Past history"),
    ],
)
def test_a_heading_is_known_by_its_form(line: str, level: int, title: str) -> None:
    (section,) = parse(f"{line}\n[history]").sections
    assert (section.level, section.title, len(section.lines)) == (level, title, 1)


@pytest.mark.parametrize(
    "line", ["#One", "####### Seven", "A **bold** word", "Past: [x]", "- Past:", "  Past:", "\\# x", '"A:"']
)
def test_what_only_looks_like_a_heading_is_none(line: str) -> None:
    assert [section.title for section in parse(f"{line}\n[history]").sections] == [""]


def test_a_label_under_a_heading_ends_at_the_blank_line_behind_its_lines() -> None:
    tree = parse("# Plan\nReview:\n\n- [follow-up]\n\n[plan]\n# Next\n[orders]")
    assert [(s.title, s.level, len(s.lines)) for s in tree.sections] == [
        ("Plan", 1, 0),
        ("Review", LABEL, 3),
        ("", LABEL, 1),
        ("Next", 1, 1),
    ]


def test_a_divider_ends_what_a_heading_is_for() -> None:
    tree = parse('# Plan\n[plan]\n---\n"Yours sincerely"')
    assert [(s.title, s.level) for s in tree.sections] == [("Plan", 1), ("", 0)]


def test_a_backslash_makes_a_sign_a_character() -> None:
    (line,) = kinds(parse('Temp \\(°C\\) \\[ \\] 5\\" \\\\ \\a: [temp]'))
    assert line[0] == (PartKind.LITERAL, 'Temp (°C) [ ] 5" \\ \\a: ')
    assert kinds(parse("[a \\[b\\]]"))[0] == [(PartKind.PLACEHOLDER, "a [b]")]


def test_instructions_nest_and_go_on_within_their_paragraph() -> None:
    tree = parse('[plan] (as said\n(in full), "or" [nothing])\n“quoted\ntext”\n[x]')
    assert kinds(tree) == [
        [
            (PartKind.PLACEHOLDER, "plan"),
            (PartKind.LITERAL, " "),
            (PartKind.INSTRUCTION, 'as said (in full), "or" [nothing]'),
        ],
        [(PartKind.VERBATIM, "quoted\ntext")],
        [(PartKind.PLACEHOLDER, "x")],
    ]
    assert tree.placeholders[1].line == 5


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("[plan", 1, 1, "not closed on its line"),
        ("[a]\n  - b [plan\n[x]", 2, 7, "not closed on its line"),
        ("[a] (b\n\n[c]", 1, 5, "not closed in its paragraph"),
        ('[a]\r\n"b', 2, 1, "not closed in its paragraph"),
        ("“b\n[a]", 1, 1, "not closed in its paragraph"),
        ("[a [b]]", 1, 4, "inside of a placeholder"),
        ("- [ ] box\n[a]", 1, 3, "empty placeholder"),
        ("[a] ( )", 1, 5, "empty instruction"),
        ('[a] ""', 1, 5, "empty quoted text"),
        ("[a]]", 1, 4, "] closes nothing"),
        ("[a]\n:-)", 2, 3, ") closes nothing"),
        ("# Plan\n# Next\n[a]", 1, 3, "heading without content"),
        ("[a]\n## Plan\n\n", 2, 4, "heading without content"),
        ("# \n[a]", 1, 1, "heading without words"),
        (f"# {'x' * 201}\n[a]", 1, 1, "longer than 200"),
        (f"[a] [{'x' * 1001}]", 1, 5, "longer than 1000"),
        (f"[a] ({'x' * 4001})", 1, 5, "longer than 4000"),
        (f'[a] "{"x" * 10001}"', 1, 5, "longer than 10000"),
        (f"{'[a] ' * MOST_PLACEHOLDERS}[a]", 1, 4 * MOST_PLACEHOLDERS + 1, "more than 300"),
        ("é" * (MOST_TEXT + 1), 1, 1, "longer than 50000"),
        ("[a]\n b\0", 2, 3, "not text"),
        ("[a]\rb", 1, 4, "not text"),
        ("[a]\n\ud800", 2, 1, "not text"),
        ("", 1, 1, "nothing to fill in"),
        ("Words and (instructions)", 1, 1, "nothing to fill in"),
        ("𝒜é [plan", 1, 4, "not closed"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(text: str, line: int, column: int, words: str) -> None:
    (found,) = places(text)
    assert found[:2] == (line, column)
    assert words in found[2]
    with pytest.raises(InvalidFieldError) as refused:
        parse(text)
    assert refused.value.field == "template"
    assert f"line {line}, column {column}:" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_all_that_is_wrong_is_told_at_once_in_order() -> None:
    assert [place[:2] for place in places("[\n[]\n# A\n# B\n()\n")] == [(1, 1), (2, 1), (3, 3), (5, 1)]


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ('[plan]\n- "Seen by" [plan]', 2, 3, "even if the placeholder"),
        ('[plan]\n"Dear [patient name]"', 2, 1, "copied, not filled"),
        ("[plan]\nReview:\n", 2, 1, "without content"),
        ("[plan]\n  [work of breathing]", 2, 3, "unless a language model"),
    ],
)
def test_a_warning_has_its_place_and_refuses_nothing(text: str, line: int, column: int, words: str) -> None:
    parse(text)
    (found,) = check(text)
    assert found.is_warning
    assert (found.line, found.column) == (line, column)
    assert words in found.message


@given(NOISE)
def test_any_text_has_a_tree_that_gives_it_back(text: str) -> None:
    tree, problems = read(text)
    assert tree.text == text
    lines = text.replace("\r\n", "\n").split("\n")
    for problem in problems:
        assert 1 <= problem.line <= len(lines)
        assert 1 <= problem.column <= len(lines[problem.line - 1]) + 2
    for part in tree.placeholders:
        assert text.replace("\r\n", "\n").split("\n")[part.line - 1][part.column - 1] == "["


@given(NOISE)
def test_html_of_any_text_is_well_formed_and_holds_no_markup_of_it(text: str) -> None:
    html = template_html(read(f"{text}<script>&[x<b>](<i>)")[0])
    assert "<script" not in html
    assert "<b>" not in html
    assert "<i>" not in html
    balance = Balance()
    balance.feed(html)
    assert balance.open == []


class Balance(HTMLParser):
    """Fails on an element that is not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_html_of_a_template_shows_its_language() -> None:
    html = template_html(parse('# Plan\n- **A**: [plan] (short)\n  1. "Go home"\n- b\n\nWords\nmore [x]'))
    assert html == (
        "<h1>Plan</h1>\n"
        "<ul><li><strong>A</strong>: <mark>[plan]</mark> <em>(short)</em>"
        "<ol><li><q>Go home</q></li></ol></li><li>b</li></ul>\n"
        "<p>Words<br>more <mark>[x]</mark></p>\n"
    )


@pytest.mark.parametrize("piece", ["(\n", "“", "[", "[a] ", "([ ", '"\n', "#\n", "a:\n", "- [x]\n", "**a ", "\\", " "])
def test_a_text_made_to_take_long_does_not(piece: str) -> None:
    def work(pieces: int) -> None:
        text = piece * pieces
        tree, problems = read(text)
        assert tree.text == text
        assert len(problems) <= 100
        template_html(tree)
        list(tree.uses())

    assert_grows_with_its_size(work, MOST_TEXT // len(piece))
