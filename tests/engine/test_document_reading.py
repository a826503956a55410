"""Scans and photos of letters, read by the models that come with the wheel of RapidOCR, as the worker reads them."""

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import fpdf
import pytest
from PIL import Image

from osler.encounters.model import ParsedDocument
from osler.engines.documents.parser import SubprocessDocumentParser
from osler.kernel.errors import UnreadableDocumentError
from tests.document_lab import LETTER, body, encoded, letter_pdf, photo, picture, raw_docx, scanned, words_right

pytestmark = pytest.mark.engine


def parse(data: bytes) -> ParsedDocument:
    return SubprocessDocumentParser().parse(io.BytesIO(data))


def test_a_scanned_page_is_read_word_by_word_and_in_order() -> None:
    read = parse(scanned(picture(letter_pdf(), dpi=200)))
    assert (read.pages, read.pages_by_ocr) == (1, 1)
    assert words_right(LETTER, read.text) >= 0.95


def test_small_print_of_eight_points_is_read() -> None:
    read = parse(scanned(picture(letter_pdf(size=8), dpi=200)))
    assert words_right(LETTER, read.text) >= 0.95


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_page_that_lies_on_its_side_or_head_is_read(quarters: int) -> None:
    lying = picture(letter_pdf(), dpi=150).rotate(90 * quarters, expand=True)
    assert words_right(LETTER, parse(encoded(lying, "JPEG", quality=80)).text) >= 0.95


def test_a_photo_of_a_letter_at_150_dots_per_inch_is_read() -> None:
    shot = photo(picture(letter_pdf(), dpi=150))
    assert words_right(LETTER, parse(encoded(shot, "JPEG", quality=75)).text) >= 0.95


def test_a_photo_is_turned_as_the_camera_says() -> None:
    held = picture(letter_pdf(), dpi=150).rotate(90, expand=True)
    exif = Image.Exif()
    exif[0x0112] = 6
    assert words_right(LETTER, parse(encoded(held, "JPEG", exif=exif)).text) >= 0.95


@pytest.mark.parametrize("mode", ["1", "P", "RGBA", "CMYK", "I;16"])
def test_pictures_of_any_depth_are_read(mode: str) -> None:
    page = picture(letter_pdf("Allergic to penicillin.\n\nTakes ramipril 5 mg."), dpi=200)
    if mode == "I;16":
        data = encoded(page.convert("I").point(lambda value: value * 257).convert("I;16"))
    else:
        data = encoded(page.convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    assert parse(data).text.split() == ["Allergic", "to", "penicillin.", "Takes", "ramipril", "5", "mg."]


def test_pages_with_text_and_scanned_pages_of_one_document_are_each_read_as_they_need() -> None:
    pdf = fpdf.FPDF()
    pdf.set_font("Helvetica", size=11)
    pdf.add_page()
    pdf.multi_cell(0, 6, "Typed page. " + LETTER)
    pdf.add_page()
    pdf.image(io.BytesIO(encoded(picture(letter_pdf("Scanned page: allergic to penicillin."), dpi=150))), 0, 0, 210)
    pdf.add_page()
    # A fax writes its own line of text on the picture of each page.
    pdf.image(io.BytesIO(encoded(picture(letter_pdf("Faxed page: takes ramipril."), dpi=150))), 0, 20, 210)
    pdf.set_y(2)
    pdf.cell(0, 5, "Fax 04/06/2024 09:12")
    read = parse(bytes(pdf.output()))
    assert (read.pages, read.pages_by_ocr) == (3, 2)
    assert "Typed page" in read.text and LETTER.splitlines()[2] in read.text
    assert "Scanned page: allergic to penicillin." in read.text
    assert "Faxed page: takes ramipril." in read.text and "Fax 04/06/2024" in read.text


def test_a_table_in_a_scan_keeps_its_rows() -> None:
    pdf = fpdf.FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=11)
    rows = [("Haemoglobin", "132 g/L", "normal"), ("Potassium", "4.9 mmol/L", "normal"), ("CRP", "48 mg/L", "raised")]
    with pdf.table() as table:
        for row in rows:
            table.row(row)
    read = parse(scanned(picture(bytes(pdf.output()))))
    assert [line for line in read.text.splitlines() if line] == ["\t".join(row) for row in rows]


def test_a_docx_of_pictures_only_is_read() -> None:
    scan = encoded(picture(letter_pdf("Allergic to penicillin since childhood."), dpi=150))
    read = parse(raw_docx(body("<w:p/>"), {"word/media/image1.png": scan}))
    assert read.text.split() == ["Allergic", "to", "penicillin", "since", "childhood."]


@pytest.mark.parametrize(
    "make", [lambda: Image.new("L", (1240, 1754), 255), lambda: Image.effect_noise((900, 900), 80)]
)
def test_a_picture_without_text_says_so(make: Callable[[], Image.Image]) -> None:
    with pytest.raises(UnreadableDocumentError) as refused:
        parse(encoded(make()))
    assert refused.value.code == "no_text"


def test_the_only_line_of_a_page_and_lone_words_at_its_edges_are_read() -> None:
    page = picture(letter_pdf("Allergic to penicillin." + "\n" * 40 + "BP 148/92"), dpi=150)
    assert parse(encoded(page)).text.split() == ["Allergic", "to", "penicillin.", "BP", "148/92"]


def test_reading_leaves_no_file_and_looks_nothing_up(tmp_path: Path) -> None:
    """The models are in the wheel: with no network and an empty home the reading is the same, and leaves nothing."""
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "scan.png").write_bytes(encoded(picture(letter_pdf("Allergic to penicillin."), dpi=150)))
    program = (
        "import io, os, sys\n"
        "os.environ['ORT_DISABLE_TELEMETRY'] = '1'\n"
        "def refuse(event, arguments):\n"
        "    if event in ('socket.connect', 'socket.getaddrinfo'):\n"
        "        os._exit(77)\n"
        "sys.addaudithook(refuse)\n"
        "from osler.engines.documents.images import read_image\n"
        "from osler.engines.documents.ocr import Reader\n"
        "print(read_image(open(sys.argv[1], 'rb').read(), Reader()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "scan.png")],
        env={"HOME": str(home), "TMPDIR": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
        timeout=200,
    )
    assert done.stdout.decode().split() == ["Allergic", "to", "penicillin."]
    assert [path for path in home.rglob("*") if path.is_file()] == []
