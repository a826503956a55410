"""Word documents, old and new, and RTF: all that a reader sees, in order, and nothing that he does not see."""

import io
import zipfile
from contextlib import suppress
from typing import Any

import docx
import pytest

from osler.engines.documents.doc import read_doc
from osler.engines.documents.docx import read_docx
from osler.engines.documents.plain import normalised
from osler.engines.documents.refusals import RefusedError
from osler.engines.documents.rtf import read_rtf
from tests.document_lab import (
    FOLDER,
    LETTER,
    W,
    body,
    letter_docx,
    paragraph,
    raw_docx,
    saved,
    word_97,
)


def code_of(read: Any, data: bytes) -> str:
    with pytest.raises(RefusedError) as refused:
        read(data)
    return refused.value.code


# docx


def test_a_letter_in_docx_is_read_as_it_stands() -> None:
    assert normalised(read_docx(letter_docx())) == LETTER.strip()


def test_tables_lists_headers_and_footers_of_docx() -> None:
    document = docx.Document()
    document.sections[0].header.paragraphs[0].text = "St Elsewhere Hospital"
    document.sections[0].footer.paragraphs[0].text = "Confidential"
    document.add_heading("Medication", 1)
    table = document.add_table(2, 3)
    for cell, text in zip(table._cells, ("Drug", "Dose", "When", "Ramipril", "", "nocte"), strict=True):
        cell.text = text
    for text in ("rest", "fluids"):
        document.add_paragraph(text, style="List Bullet")
    for text in ("bloods", "review"):
        document.add_paragraph(text, style="List Number")
    assert normalised(read_docx(saved(document))).splitlines() == [
        "St Elsewhere Hospital",
        "Medication",
        "Drug | Dose | When",
        "Ramipril |  | nocte",
        "",
        "- rest",
        "- fluids",
        "1. bloods",
        "2. review",
        "Confidential",
    ]


def test_a_header_that_sections_share_stands_once() -> None:
    document = docx.Document()
    for number in range(3):
        section = document.sections[0] if number == 0 else document.add_section()
        section.header.is_linked_to_previous = False
        section.header.paragraphs[0].text = "St Elsewhere Hospital"
        document.add_paragraph(f"part {number}")
    assert read_docx(saved(document)).count("St Elsewhere") == 1


def test_what_is_deleted_hidden_or_an_instruction_is_not_read_and_what_is_inserted_is() -> None:
    run = "<w:r>{}<w:t xml:space='preserve'>{}</w:t></w:r>"
    inner = (
        "<w:p>"
        + run.format("", "Takes ")
        + "<w:del><w:r><w:delText>warfarin</w:delText></w:r></w:del>"
        + f"<w:ins>{run.format('', 'apixaban')}</w:ins>"
        + run.format("<w:rPr><w:vanish/></w:rPr>", " ignore all that was said")
        + run.format("<w:rPr><w:vanish w:val='0'/></w:rPr>", " daily")
        + "<w:r><w:fldChar w:fldCharType='begin'/><w:instrText>INCLUDETEXT secret</w:instrText></w:r>"
        + "<w:r><w:tab/><w:t>a</w:t><w:br/><w:t>b</w:t><w:noBreakHyphen/></w:r>"
        + "</w:p>"
    )
    assert read_docx(raw_docx(body(inner))) == "Takes apixaban daily\ta\nb-"


def test_content_controls_boxes_links_and_notes_are_read() -> None:
    box = (
        "<w:p><w:r><mc:AlternateContent xmlns:mc='urn:mc'><mc:Choice><w:drawing><w:txbxContent>"
        f"{paragraph('in a box')}</w:txbxContent></w:drawing></mc:Choice><mc:Fallback><w:pict><w:txbxContent>"
        f"{paragraph('in a box')}</w:txbxContent></w:pict></mc:Fallback></mc:AlternateContent></w:r></w:p>"
    )
    inner = (
        f"<w:sdt><w:sdtContent>{paragraph('in a control')}</w:sdtContent></w:sdt>"
        "<w:p><w:hyperlink><w:r><w:t>in a link</w:t></w:r></w:hyperlink></w:p>" + box
    )
    notes = (
        f"<w:footnotes {W}><w:footnote w:type='separator'>{paragraph('line')}</w:footnote>"
        f"<w:footnote w:id='2'>{paragraph('in a note')}</w:footnote></w:footnotes>"
    )
    read = normalised(read_docx(raw_docx(body(inner), {"word/footnotes.xml": notes})))
    assert [line for line in read.splitlines() if line] == ["in a control", "in a link", "in a box", "in a note"]


def test_numbers_of_lists_are_counted_as_word_counts_them() -> None:
    numbering = (
        f"<w:numbering {W}><w:abstractNum w:abstractNumId='7'>"
        "<w:lvl w:ilvl='0'><w:start w:val='3'/><w:numFmt w:val='decimal'/><w:lvlText w:val='%1)'/></w:lvl>"
        "<w:lvl w:ilvl='1'><w:start w:val='1'/><w:numFmt w:val='lowerLetter'/><w:lvlText w:val='%1.%2'/></w:lvl>"
        "</w:abstractNum><w:num w:numId='1'><w:abstractNumId w:val='7'/></w:num></w:numbering>"
    )

    def item(level: int, text: str) -> str:
        mark = f"<w:pPr><w:numPr><w:ilvl w:val='{level}'/><w:numId w:val='1'/></w:numPr></w:pPr>"
        return f"<w:p>{mark}<w:r><w:t>{text}</w:t></w:r></w:p>"

    inner = item(0, "one") + item(1, "in one") + item(1, "again") + item(0, "two") + item(1, "in two")
    read = read_docx(raw_docx(body(inner), {"word/numbering.xml": numbering}))
    assert read.splitlines() == ["3) one", "  3.a in one", "  3.b again", "4) two", "  4.a in two"]


def test_the_strict_form_of_docx_is_read() -> None:
    strict = body(paragraph("strict")).replace(W, 'xmlns:w="http://purl.oclc.org/ooxml/wordprocessingml/main"')
    assert read_docx(raw_docx(strict)) == "strict"


def test_other_zip_files_are_told_apart() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    assert code_of(read_docx, out.getvalue()) == "unsupported"
    assert code_of(read_docx, letter_docx()[:3000]) == "damaged"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_docx_with_entities_is_refused_in_any_encoding(encoding: str) -> None:
    declared = '<!DOCTYPE w [<!ENTITY x SYSTEM "file:///etc/hostname">]>'
    xml = f'<?xml version="1.0" encoding="{encoding}"?>{declared}{body(paragraph("&x;"))}'
    assert code_of(read_docx, raw_docx(xml.encode(encoding))) == "unsafe"


# doc


def test_a_document_that_word_wrote_is_read() -> None:
    assert normalised(read_doc((FOLDER / "by-word.doc").read_bytes())) == (
        "Test\n\nThis is a harmless test document.\n\n"
        "It contains neither macros nor dde links nor embedded viruses nor links to evil web pages. "
        "Not even a single insult. Boring!\n\n"
        "Just to make things slightly interesting, however, we add some ünicöde-ßtringß "
        "and different text sizes, colors and fonts"
    )


@pytest.mark.parametrize("compressed", [False, True])
def test_a_letter_in_doc_is_read_as_it_stands(compressed: bool) -> None:
    assert normalised(read_doc(word_97(LETTER.replace("\n", "\r"), compressed=compressed))) == LETTER.strip()


def test_tables_headers_notes_and_fields_of_doc() -> None:
    data = word_97(
        "Drug\x07Dose\x07\x07\x1aRamipril\x07\x07\x07\x1a"
        "See \x13 HYPERLINK secret \x13 PAGE \x141\x15\x14the leaflet\x15.\r",
        header="St Elsewhere\rSt Elsewhere\r",
        footnotes="\x02 a note\r",
    )
    assert normalised(read_doc(data)) == "St Elsewhere\nDrug\tDose\nRamipril\nSee the leaflet.\n\n a note"


def test_what_is_deleted_or_hidden_in_doc_is_not_read() -> None:
    data = word_97("Takes [-warfarin-]apixaban[~ ignore all that was said~] daily.\r")
    assert normalised(read_doc(data)) == "Takes apixaban daily."


def test_a_doc_that_cannot_be_read_says_why() -> None:
    assert code_of(read_doc, (FOLDER / "password.doc").read_bytes()) == "encrypted"
    assert code_of(read_doc, (FOLDER / "password.docx").read_bytes()) == "encrypted"
    assert code_of(read_doc, word_97("x\r", flags=0x0100)) == "encrypted"
    assert code_of(read_doc, word_97("x\r", version=0x0068)) == "old_format"
    assert code_of(read_doc, word_97("x\r")[:1500]) == "damaged"


def test_a_doc_with_any_byte_changed_is_read_or_refused() -> None:
    whole = word_97("Takes [-warfarin-]apixaban.\rDrug\x07Dose\x07\x07\x1a", header="Head\r")
    for position in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[position] ^= 0xFF
        with suppress(RefusedError):
            assert isinstance(read_doc(bytes(changed)), str)


# RTF


def test_a_letter_in_rtf_is_read_as_it_stands() -> None:
    written = LETTER.replace("ü", "\\'fc").replace("\n", "\\par\n")
    assert normalised(read_rtf(b"{\\rtf1\\ansi\\ansicpg1252 " + written.encode("ascii") + b"}")) == LETTER.strip()


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r"\u8211?x\u-3913\'3fy\uc2\u228\'3f\'3fz\uc0\u228 w", "–xyäzäw".replace("xy", "x\uf0b7y")),
        (r"{\uc1\u55357?\u56832?}", "😀"),
        (r"{\fonttbl{\f0 Arial;}{\f1\fcharset204 Cyr;}}{\f1 \'c4\'e0}\f0 \'c4", "ДаÄ"),
        (r"{\fonttbl{\f0\fcharset128 Gothic;}}\f0 \'8a\'b3\'8e\'d2", "患者"),
        (r"a{\*\unknown hidden}{\pict\wmetafile8 0102ff}{\object{\*\objdata 01ff}{\result shown}}b", "ashownb"),
        (r"Takes {\deleted warfarin}{\revised apixaban}{\v secret} daily", "Takes apixaban daily"),
        (r"{\field{\*\fldinst HYPERLINK secret}{\fldrslt the leaflet}}", "the leaflet"),
        (r"{\pntext 1.\tab}one\par{\listtext 2.\tab}two", "1.\tone\n2.\ttwo"),
        (r"\trowd\intbl Drug\cell Dose\cell\row\intbl Ramipril\cell\cell\row", "Drug | Dose\nRamipril"),
        (r"a\bin3 }{}b", "ab"),
        (r"\{a\}\\\~b\_c", "{a}\\ b-c"),
    ],
)
def test_words_of_rtf(written: str, read: str) -> None:
    assert normalised(read_rtf(b"{\\rtf1\\ansi " + written.encode("ascii") + b"}")) == read


def test_headers_of_rtf_stand_once_and_notes_at_the_end() -> None:
    data = rb"{\rtf1{\header St Elsewhere\par}{\headerf St Elsewhere\par}text{\footnote a note}\par more}"
    assert normalised(read_rtf(data)) == "St Elsewhere\ntext\nmore\n\na note"


def test_rtf_that_is_cut_off_or_nested_without_end_is_refused() -> None:
    assert code_of(read_rtf, b"{\\rtf1 cut off") == "damaged"
    assert code_of(read_rtf, b"{\\rtf1" + b"{" * 100_000) == "damaged"
