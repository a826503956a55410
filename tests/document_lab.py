"""Documents for tests, made when they are needed: letters as PDF, scan, photo and Word of both kinds; hostile files."""

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import docx
import fpdf
import numpy as np
import pypdfium2
from PIL import Image

FOLDER = Path(__file__).parent / "documents"

LETTER = """Dear Dr. Williams,

Thank you for referring Mrs. Jane Müller (born 12/03/1957), who was seen in clinic on 4 June 2024 with a
three month history of exertional chest pain and shortness of breath on climbing stairs.

Past medical history: type 2 diabetes mellitus, hypertension, hypercholesterolaemia.
Medication: metformin 500 mg twice daily, ramipril 5 mg once daily, atorvastatin 20 mg at night, aspirin 75 mg.
Allergies: penicillin (rash).

On examination blood pressure was 148/92 mmHg, pulse 76 regular, BMI 31.2 kg/m2. Heart sounds were normal
with no murmurs. Troponin < 5 ng/L; HbA1c 58 mmol/mol; eGFR > 60.

Plan: 1. Exercise tolerance test. 2. Increase ramipril to 10 mg. 3. Review in six weeks with repeat bloods.

Yours sincerely,
Dr. A. Patel, Consultant Cardiologist
"""


def words_right(expected: str, read: str) -> float:
    """Return the share of the expected words, punctuation and all, that were read in their order."""
    want, got = expected.split(), read.split()
    lengths = np.zeros(len(got) + 1, int)
    for word in want:
        row = lengths.copy()
        for index, other in enumerate(got, 1):
            row[index] = lengths[index - 1] + 1 if other == word else max(lengths[index], row[index - 1])
        lengths = row
    return float(lengths[-1] / len(want))


# PDF and pictures


def letter_pdf(
    text: str = LETTER, *, size: float = 11, owner_password: str | None = None, user_password: str | None = None
) -> bytes:
    """Return a PDF of one page with a text layer."""
    pdf = fpdf.FPDF()
    pdf.add_page()
    pdf.set_font("Helvetica", size=size)
    pdf.multi_cell(0, size / 2, text)
    if owner_password is not None:
        pdf.set_encryption(owner_password, user_password)
    return bytes(pdf.output())


def picture(pdf: bytes, *, dpi: int = 200, page: int = 0) -> Image.Image:
    """Return a page as a picture in shades of grey."""
    shown: Image.Image = pypdfium2.PdfDocument(pdf)[page].render(scale=dpi / 72).to_pil()
    return shown.convert("L")


def scanned(*pages: Image.Image, dpi: int = 200) -> bytes:
    """Return a PDF of pictures only."""
    out = io.BytesIO()
    pages[0].save(out, "PDF", resolution=dpi, save_all=True, append_images=pages[1:])
    return out.getvalue()


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def photo(page: Image.Image, *, tilt: float = 3.0, seed: int = 7) -> Image.Image:
    """Return a page as a telephone takes it: tilted, on a dark table, unevenly lit, a little unsharp, with noise."""
    noise = np.random.default_rng(seed)
    wide = Image.new("L", (round(page.width * 1.15), round(page.height * 1.1)), 70)
    wide.paste(page, (round(page.width * 0.07), round(page.height * 0.05)))
    turned = wide.rotate(tilt, Image.Resampling.BICUBIC, fillcolor=70)
    pixels = np.asarray(turned, np.float32)
    light = np.linspace(0.65, 1.0, pixels.shape[1], dtype=np.float32)[None, :]
    noisy = pixels * light + noise.normal(0, 6, pixels.shape)
    return Image.fromarray(noisy.clip(0, 255).astype(np.uint8))


def pdf_of(objects: Sequence[bytes]) -> bytes:
    """Return a PDF of these objects, numbered from 1; the first is the catalogue."""
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    offsets = []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, table)
    return bytes(out)


CATALOGUE = b"<</Type/Catalog/Pages 2 0 R>>"


def page_pdf(contents: bytes, *, resources: bytes = b"", more: Sequence[bytes] = ()) -> bytes:
    """Return a PDF of one page; ``contents`` is a stream object, ``more`` are objects from 5 on."""
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<<%b>>>>" % resources
    return pdf_of([CATALOGUE, b"<</Type/Pages/Kids[3 0 R]/Count 1>>", page, contents, *more])


def stream(body: bytes, entries: bytes = b"") -> bytes:
    return b"<<%b/Length %d>>stream\n%b\nendstream" % (entries, len(body), body)


def zeros(size: int) -> bytes:
    """Return so many bytes of zero, compressed: one block over and over, as it would take long to make them all."""
    packer = zlib.compressobj(9)
    head = packer.compress(b"") + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    count = size // 1_000_000
    checksum = (count * 1_000_000 % 65521) << 16 | 1  # Adler-32 of zeros
    return head + block * count + b"\x03\x00" + struct.pack(">I", checksum)


def png_head(width: int, height: int, body: bytes = b"") -> bytes:
    """Return a PNG that says it is so large."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body or zeros(10**6)) + chunk(b"IEND", b"")


# Word of 2007 and later


def saved(document: Any) -> bytes:
    out = io.BytesIO()
    document.save(out)
    return out.getvalue()


def letter_docx(text: str = LETTER) -> bytes:
    document = docx.Document()
    for line in text.splitlines():
        document.add_paragraph(line)
    return saved(document)


W = 'xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main"'
_TYPES = '<?xml version="1.0"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
_RELATIONS = (
    '<?xml version="1.0"?><Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="r1" Target="word/document.xml" '
    'Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/></Relationships>'
)


def raw_docx(document: str | bytes, parts: Mapping[str, str | bytes] | None = None) -> bytes:
    """Return a docx of just that main part."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("[Content_Types].xml", _TYPES)
        archive.writestr("_rels/.rels", _RELATIONS)
        archive.writestr("word/document.xml", document)
        for name, content in (parts or {}).items():
            archive.writestr(name, content)
    return out.getvalue()


def body(inner: str) -> str:
    return f"<w:document {W}><w:body>{inner}</w:body></w:document>"


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


# Word 97 to 2003: a writer of its own after [MS-DOC] and [MS-CFB], as no program that writes the format is at hand


_TEXT_AT = 0x800
_DELETED = b"\x00\x08\x01"
_HIDDEN = b"\x3c\x08\x01"
_ROW_END = b"\x00\x00" + b"\x16\x24\x01" + b"\x17\x24\x01"


def word_97(
    text: str, *, header: str = "", footnotes: str = "", compressed: bool = False, version: int = 0x00C1, flags: int = 0
) -> bytes:
    """Return a Word document. In ``text``, ``[-deleted-]`` and ``[~hidden~]`` are so; ``\\x07`` ends a cell, and

    ``\\x07\\x1a`` a row. Half of it is written as 8-bit characters if ``compressed``, in a piece of its own.
    """
    shown, marks, row_ends = _taken_apart(text)
    everything = shown + footnotes + header
    split = len(everything) // 2 if compressed else 0
    stored = everything[:split].encode("cp1252") + everything[split:].encode("utf-16-le")

    def offset(position: int) -> int:
        return _TEXT_AT + (position if position <= split else split + 2 * (position - split))

    end = offset(len(everything))
    word = bytearray(_TEXT_AT) + stored
    word += bytes(-len(word) % 512)
    character_page, paragraph_page = len(word) // 512, len(word) // 512 + 1
    word += _formatting_page([(offset(a), offset(b), marking) for a, b, marking in marks], end, entry=1)
    word += _formatting_page([(offset(a), offset(a + 1), _ROW_END) for a in row_ends], end, entry=13)
    pieces = [(0, split, True)] if split else []
    pieces.append((split, len(everything), False))
    positions = [piece[0] for piece in pieces] + [len(everything)]
    plc = struct.pack(f"<{len(positions)}i", *positions)
    for start, _, narrow in pieces:
        place = 2 * offset(start) | 0x40000000 if narrow else offset(start)
        plc += struct.pack("<HIH", 0, place, 0)
    clx = b"\x02" + struct.pack("<I", len(plc)) + plc
    characters = struct.pack("<III", _TEXT_AT, end, character_page)
    paragraphs = struct.pack("<III", _TEXT_AT, end, paragraph_page)
    table = clx + characters + paragraphs
    struct.pack_into("<HH", word, 0, 0xA5EC, version)
    struct.pack_into("<H", word, 0x0A, 0x0200 | flags)
    struct.pack_into("<7i", word, 0x4C, len(shown), len(footnotes), len(header), 0, 0, 0, 0)
    struct.pack_into("<II", word, 0x1A2, 0, len(clx))
    struct.pack_into("<II", word, 0xFA, len(clx), len(characters))
    struct.pack_into("<II", word, 0x102, len(clx) + len(characters), len(paragraphs))
    return compound_file({"WordDocument": bytes(word), "1Table": table})


def _taken_apart(text: str) -> tuple[str, list[tuple[int, int, bytes]], list[int]]:
    shown, marks, row_ends = "", [], []
    for part in re.split(r"(\[-.*?-\]|\[~.*?~\]|\x07\x1a)", text, flags=re.DOTALL):
        if part == "\x07\x1a":
            row_ends.append(len(shown))
            shown += "\x07"
        elif part.startswith(("[-", "[~")):
            marks.append((len(shown), len(shown) + len(part) - 4, _DELETED if part[1] == "-" else _HIDDEN))
            shown += part[2:-2]
        else:
            shown += part
    return shown, marks, row_ends


def _formatting_page(marked: Sequence[tuple[int, int, bytes]], end: int, *, entry: int) -> bytes:
    """Return a page of 512 bytes that says which bytes of the stream have which properties."""
    runs: list[tuple[int, bytes]] = []
    position = _TEXT_AT
    for start, stop, properties in marked:
        if start > position:
            runs.append((position, b""))
        runs.append((start, properties))
        position = stop
    if position < end:
        runs.append((position, b""))
    page, free = bytearray(512), 510
    struct.pack_into(f"<{len(runs) + 1}I", page, 0, *[run[0] for run in runs], end)
    for index, (_, properties) in enumerate(runs):
        if not properties:
            continue
        if entry == 1:
            content = bytes([len(properties)]) + properties
        else:
            content = b"\0" + bytes([(len(properties) + 1) // 2]) + properties + bytes(len(properties) % 2)
        free -= len(content) + len(content) % 2
        page[free : free + len(content)] = content
        page[4 * (len(runs) + 1) + entry * index] = free // 2
    page[511] = len(runs)
    return bytes(page)


def compound_file(streams: Mapping[str, bytes]) -> bytes:
    """Return an OLE compound file (version 3, sectors of 512 bytes) of these streams."""
    sectors: list[bytes] = []
    table: list[int] = []
    entries = []
    for name, content in streams.items():
        content = content.ljust(4096, b"\0")  # smaller ones would need a stream of their own
        first, count = len(sectors), -(-len(content) // 512)
        sectors += [content[512 * index :][:512].ljust(512, b"\0") for index in range(count)]
        table += [*range(first + 1, first + count), 0xFFFFFFFE]
        entries.append((name, 2, first, len(content)))
    directory = _directory(entries)
    first_of_directory = len(sectors)
    count = len(directory) // 512
    sectors += [directory[512 * index :][:512] for index in range(count)]
    table += [*range(first_of_directory + 1, first_of_directory + count), 0xFFFFFFFE]
    needed = -(-(len(table) + 1) // 127)
    places = list(range(len(sectors), len(sectors) + needed))
    table += [0xFFFFFFFD] * needed
    table += [0xFFFFFFFF] * (128 * needed - len(table))
    packed = struct.pack(f"<{len(table)}I", *table)
    sectors += [packed[512 * index :][:512] for index in range(needed)]
    head = struct.pack("<8s16xHHHHH6xIIIIIIIII", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", 0x3E, 3, 0xFFFE, 9, 6, 0, needed,
                       first_of_directory, 0, 4096, 0xFFFFFFFE, 0, 0xFFFFFFFE, 0)  # fmt: skip
    head += struct.pack("<109I", *places, *[0xFFFFFFFF] * (109 - needed))
    return head + b"".join(sectors)


def _directory(entries: Sequence[tuple[str, int, int, int]]) -> bytes:
    none = 0xFFFFFFFF
    rows = [("Root Entry", 5, 0xFFFFFFFE, 0), *entries]
    made = b""
    for index, (name, kind, first, size) in enumerate(rows):
        text = (name + "\0").encode("utf-16-le")
        right = index + 1 if 0 < index < len(rows) - 1 else none
        made += struct.pack(
            "<64sHBBIII36xIQ", text, len(text), kind, 1, none, right, 1 if index == 0 else none, first, size
        )
    made += bytes(-len(made) % 512)
    return made
