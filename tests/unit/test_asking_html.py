"""HTML of clients read as Markdown."""

import pytest

from osler.notes.html_reading import markdown_of
from tests.growth import assert_grows_with_its_size


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
        ("<p>a<!-- <p>left out</p> -->b", "ab"),
        ("<!DOCTYPE html><?xml version='1'?><p>a", "a"),
        ("<p title='3 > 2'>a</p><a href=\">\">b</a> <b don't>c</b>", "a\n\nb c"),
        ("BP <120, 5 < 6 and 7 > 6", "BP <120, 5 < 6 and 7 > 6"),
        ("<p>a</p><!-- begun, not ended", "a\n\n<!-- begun, not ended"),
        ("<p>a</p><b class=", "a\n\n<b class="),
        ("<p>a <b x='>c</b> d", "a c d"),
        ("<SCRIPT>if (a<b) '<p>no</p>'</script >yes<style>p{", "yes"),
    ],
)
def test_blocks_and_lists_stay_and_scripts_go(html: str, expected: str) -> None:
    assert markdown_of(html) == expected


@pytest.mark.parametrize("end", ["", ">", "'>", "-->"])
@pytest.mark.parametrize(
    "piece",
    ["<p>a", "<", "<!--", "<a ", "<!", "</", "<?", "<![CDATA[", "<a x='", "<a x='>'", "<li>a", "<b>a </b>", "&"],
)
def test_whatever_it_is_is_read_in_a_time_that_grows_with_it(piece: str, end: str) -> None:
    assert_grows_with_its_size(lambda pieces: markdown_of(piece * pieces + end), 100_000 // len(piece))


def test_of_many_tags_no_text_is_lost() -> None:
    assert markdown_of("<p>a" * 20_000).count("a") == 20_000
