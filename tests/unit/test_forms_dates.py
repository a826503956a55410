"""Dates in speech, and the formats that clients write them in."""

from datetime import date

import pytest

from osler.engines.grounded.forms.dates import dates_in
from osler.notes.form_dates import Precision, read_format

THURSDAY = date(2024, 3, 14)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("it was the third of March", "2024-03-03"),
        ("on april fourteenth", "2023-04-14"),
        ("see you on the second of April", "2024-04-02"),
        ("March 3rd, 2021", "2021-03-03"),
        ("on the twenty first of June twenty nineteen", "2019-06-21"),
        ("last Tuesday", "2024-03-12"),
        ("last Thursday", "2024-03-07"),
        ("on Monday I fell", "2024-03-11"),
        ("next Monday", "2024-03-18"),
        ("yesterday", "2024-03-13"),
        ("the day before yesterday", "2024-03-12"),
        ("three days ago", "2024-03-11"),
        ("a week ago", "2024-03-07"),
        ("see you in six weeks", "2024-04-25"),
        ("come back in three months", "2024-06-14"),
        ("on 2023-12-24", "2023-12-24"),
        ("on 24.12.2023", "2023-12-24"),
        ("on 12/24/2023", "2023-12-24"),
    ],
)
def test_a_date_in_words_is_a_day(said: str, expected: str) -> None:
    (found,) = dates_in(said, THURSDAY)
    assert found.day is not None and found.day.isoformat() == expected
    assert found.precision is Precision.DAY
    assert said[found.start : found.end].strip() == said[found.start : found.end] != ""


@pytest.mark.parametrize(
    "said",
    [
        "about two weeks ago",
        "maybe a week ago",
        "in about one to two weeks",
        "four, five days ago",
        "a month ago or so",
        "3/4/2024",
        "next Friday",
        "the thirty first of June",
        "two days or so ago",
    ],
)
def test_what_is_vague_or_has_two_readings_is_no_day(said: str) -> None:
    assert all(found.day is None for found in dates_in(said, THURSDAY))


@pytest.mark.parametrize("said", ["may I see it", "I have two brothers", "second opinion", "120 over 80", ""])
def test_what_is_no_date_is_none(said: str) -> None:
    assert list(dates_in(said, THURSDAY)) == []


def test_only_as_much_is_known_as_was_said() -> None:
    assert [found.precision for found in dates_in("in 2019", THURSDAY)] == [Precision.YEAR]
    assert [found.precision for found in dates_in("in March of 2019", THURSDAY)] == [Precision.MONTH]
    assert [found.precision for found in dates_in("eighteen years ago", THURSDAY)] == [Precision.YEAR]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("DD/MM/YYYY", "04/03/2024"),
        ("MM-DD-YYYY", "03-04-2024"),
        ("D.M.YY", "4.3.24"),
        ("%d.%m.%Y", "04.03.2024"),
        ("%Y-%m-%d", "2024-03-04"),
        ("yyyy-MM-dd", "2024-03-04"),
        ("dd/mm/yyyy", "04/03/2024"),
        ("ISO", "2024-03-04"),
        ("iso8601", "2024-03-04"),
        ("Do MMMM YYYY", "4th March 2024"),
        ("dddd, D MMM YYYY", "Monday, 4 Mar 2024"),
        ("MMM YYYY", "Mar 2024"),
        ("YYYY", "2024"),
    ],
)
def test_formats_of_clients_are_written_as_they_mean(text: str, expected: str) -> None:
    wanted = read_format(text)
    assert wanted is not None and wanted.write(date(2024, 3, 4)) == expected


@pytest.mark.parametrize("text", ["", "foo", "DD/MM", "%H:%M", "DD/DD/YYYY", "YYYYY", "MM/YYYY/MM", "D", "%q", "{day}"])
def test_what_is_no_format_is_refused(text: str) -> None:
    assert read_format(text) is None
