"""Reading order: what a person reads next comes next."""

from osler.engines.documents.layout import Piece, joined, lines_of, without_repeats


def line(text: str, left: float, row: float, *, width: float | None = None) -> Piece:
    return Piece(text, left, 20 * row, left + (6 * len(text) if width is None else width), 20 * row + 12)


def test_words_with_a_blank_between_are_one_piece_and_cells_are_not() -> None:
    words = [line("Blood", 0, 0), line("pressure", 35, 0), line("148/92", 200, 0), line("mmHg", 300, 0)]
    assert lines_of(joined(words)) == ["Blood pressure\t148/92\tmmHg"]


def test_a_table_is_read_row_by_row() -> None:
    rows = [("Haemoglobin", "132"), ("Potassium", "4.9"), ("Creatinine", "88"), ("Sodium", "140"), ("CRP", "3")]
    pieces = [line(text, 200 * column, index) for index, row in enumerate(rows) for column, text in enumerate(row)]
    assert lines_of(pieces) == ["\t".join(row) for row in rows]


def test_columns_of_prose_are_read_one_after_the_other_between_full_lines() -> None:
    left = [f"the left column goes on in line {index}" for index in range(5)]
    right = [f"and the right one tells more in {index}" for index in range(5)]
    pieces = [line("A heading that goes over both of the columns of this page, from side to side.", 0, 0, width=520)]
    pieces += [line(text, 0, 1 + index, width=240) for index, text in enumerate(left)]
    pieces += [line(text, 280, 1 + index, width=240) for index, text in enumerate(right)]
    pieces += [line("And a last line that again goes over both of the columns of this page.", 0, 6, width=520)]
    read = [text for text in lines_of(pieces) if text]
    assert read[1:-1] == left + right
    assert read[0].startswith("A heading") and read[-1].startswith("And a last")


def test_three_columns_are_read_from_left_to_right() -> None:
    columns = [[f"column {name} of three, in its line {index}" for index in range(4)] for name in "abc"]
    pieces = [
        line(text, 250 * place, index, width=220)
        for place, column in enumerate(columns)
        for index, text in enumerate(column)
    ]
    assert [text for text in lines_of(pieces) if text] == [text for column in columns for text in column]


def test_a_gap_between_lines_is_an_empty_line() -> None:
    assert lines_of([line("one", 0, 0), line("two", 0, 1), line("three", 0, 4)]) == ["one", "two", "", "three"]


def test_headers_footers_and_page_numbers_stand_once() -> None:
    pages = [
        ["Ward 7, Hospital", "", "Blood pressure 120/80", "left", "Page 1 of 3"],
        ["Ward 7, Hospital", "Blood pressure 130/80", "right", "Page 2 of 3"],
        ["Ward 7, Hospital", "all", "Page 3 of 3"],
    ]
    assert without_repeats(pages) == [
        ["Ward 7, Hospital", "", "Blood pressure 120/80", "left", "Page 1 of 3"],
        ["Blood pressure 130/80", "right"],
        ["all"],
    ]


def test_a_line_that_repeats_within_pages_is_no_header() -> None:
    pages = [["a", "b", "c", "no change", "d", "e", "f"], ["g", "h", "i", "no change", "j", "k", "l"]]
    assert without_repeats(pages) == pages
