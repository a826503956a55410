"""HTML of clients read as Markdown."""

import pytest

from osler.notes.html_reading import markdown_of


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ("<p>One.</p><p>Two.</p>", "One.\n\nTwo."),
        ("<h2>Plan</h2><ul><li>Rest</li><li><p>Tea</p></li></ul><p>Done.</p>", "## Plan\n\n- Rest\n- Tea\n\nDone."),
        ("a<br>b &amp; c", "a\nb & c"),
        ("<script>x()</script><style>p{}</style><p onclick=y()>Kept</p>", "Kept"),
        ("<table><tr><td>a</td><td>b</td></tr></table>", "a b"),
        ("plain", "plain"),
        ("<p>unclosed <b>bold", "unclosed bold"),
        ("", ""),
    ],
)
def test_blocks_and_lists_stay_and_scripts_go(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


def test_many_tags_are_read_in_a_time_that_grows_with_them() -> None:
    assert markdown_of("<p>a" * 20_000).count("a") == 20_000
