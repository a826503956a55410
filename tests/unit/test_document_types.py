"""What a file is, its bytes say; and the text of every document comes in one form."""

import pytest

from osler.encounters.document_types import DocumentType, type_of
from osler.engines.documents.plain import normalised, read_text
from osler.engines.documents.refusals import RefusedError
from tests.document_lab import FOLDER, LETTER, encoded, letter_docx, letter_pdf, picture, word_97


def test_a_type_is_told_by_content() -> None:
    page = picture(letter_pdf(), dpi=20)
    assert type_of(letter_pdf()) is DocumentType.PDF
    assert type_of(letter_docx()) is DocumentType.DOCX
    assert type_of(word_97("x\r")) is DocumentType.WORD_97
    assert type_of((FOLDER / "by-word.doc").read_bytes()) is DocumentType.WORD_97
    assert type_of(b"{\\rtf1 x}") is DocumentType.RTF
    assert type_of(encoded(page)) is DocumentType.PNG
    assert type_of(encoded(page, "JPEG")) is DocumentType.JPEG
    assert type_of(LETTER.encode()) is DocumentType.TEXT


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252", "mac_roman"])
def test_text_is_text_in_any_encoding(encoding: str) -> None:
    assert type_of(LETTER.encode(encoding)) is DocumentType.TEXT


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"GIF89a\x01\x00\x01\x00",
        b"II*\x00\x08\x00\x00\x00",
        b"RIFF\x00\x00\x00\x00WAVEfmt \x10\x00\x00\x00",
        b"\x7fELF\x02\x01\x01\x00\x00\x00",
        b"MZ\x90\x00\x03\x00\x00\x00\x04\x00",
        b"PK\x05\x06" + bytes(18),
        b"<!DOCTYPE html><p>Dear Dr.",
        b"\xef\xbb\xbf <?xml version='1.0'?><a/>",
        b"#!/bin/sh\nrm -rf /\n",
        bytes(range(256)) * 4,
    ],
)
def test_anything_else_is_no_document(head: bytes) -> None:
    assert type_of(head) is None


def test_a_file_of_two_types_is_the_one_at_its_beginning() -> None:
    picture_first = encoded(picture(letter_pdf(), dpi=20), "JPEG") + letter_pdf()
    assert type_of(picture_first) is DocumentType.JPEG
    assert type_of(b"\0\1\2\3\xff\xfe\xfd" * 9 + letter_pdf()) is DocumentType.PDF
    assert type_of(b"How a PDF begins: %PDF-1.7, says the standard.") is DocumentType.TEXT


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("utf-8", "Größe 1,72 m, Gewicht 80 kg – unauffällig"),
        ("utf-16", "Größe 1,72 m"),
        ("utf-16-be", "Groesse 1,72 m"),
        ("cp1252", "Der Patient klagt über Übelkeit; Größe 1,72 m. Die Lunge ist frei, die Haut gerötet."),
        ("cp1252", "La patiente a été opérée à l’âge de huit ans, sans séquelles ni complications."),
        ("cp1252", "It’s 5 µg per day – no more than £5."),
        ("cp1250", "Pacjent zgłasza ból głowy i zawroty, gorączkę oraz osłabienie od tygodnia. Źle śpi."),
        ("cp1251", "Пациент жалуется на боль в груди и одышку при нагрузке в течение трёх недель."),
        ("shift_jis", "患者は三週間前から胸の痛みと息切れを訴えている。薬のアレルギーはない。"),
    ],
)
def test_the_encoding_of_plain_text_is_found(encoding: str, text: str) -> None:
    assert read_text(text.encode(encoding)) == text


def test_text_that_is_cut_off_within_a_character_keeps_its_encoding() -> None:
    assert read_text("Temperatur 39 °C, Übelkeit ü".encode()[:-1]) == "Temperatur 39 °C, Übelkeit "


def test_what_cannot_be_text_is_refused() -> None:
    with pytest.raises(RefusedError) as refused:
        read_text(b"begins as text " + bytes(range(32)) * 100)
    assert refused.value.code == "unsupported"
    with pytest.raises(RefusedError) as refused:
        read_text(b" \n" * 50)
    assert refused.value.code == "no_text"


def test_text_comes_composed_with_plain_ends_of_lines_and_nothing_unseen() -> None:
    raw = "Mu\u0308ller\r\nnext\x0cpage\u2028line\r\n\r\n\r\n\r\nend \t\x00\x07\u200b\u202e\ufeff\xad.\xa0x\ud800"
    assert normalised(raw) == "Müller\nnext\npage\nline\n\nend \t. x"


def test_bringing_text_into_form_takes_time_in_proportion() -> None:
    assert normalised(" " * 2_000_000 + "x") == " " * 2_000_000 + "x"
