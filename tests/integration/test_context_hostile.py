"""Hostile and broken documents: each is refused in time, within its memory, and the next document is read as ever."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from osler.engines.documents.limits import Limits
from osler.engines.documents.parser import SubprocessDocumentParser
from osler.engines.documents.refusals import SENTENCES
from osler.kernel.errors import EngineError, MissingExtraError, UnreadableDocumentError
from tests.document_lab import (
    CATALOGUE,
    FOLDER,
    W,
    body,
    encoded,
    letter_docx,
    letter_pdf,
    page_pdf,
    paragraph,
    pdf_of,
    picture,
    png_head,
    raw_docx,
    stream,
    word_97,
    zeros,
)

MEMORY = 1024**3
LIMITS = Limits(pages=20, seconds=60, page_seconds=15, memory=MEMORY)
PATIENT = Limits(pages=20, seconds=240, page_seconds=120, memory=MEMORY)
"""For what is refused because of what it is: a busy machine takes long to find that out."""

ROOT = Path(__file__).parents[2]


def parse(data: bytes, limits: Limits = PATIENT) -> str:
    return SubprocessDocumentParser(limits).parse(io.BytesIO(data)).text


def laughs() -> bytes:
    entities = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 12))
    return raw_docx(f'<?xml version="1.0"?><!DOCTYPE w [<!ENTITY a0 "ha">{entities}]>{body(paragraph("&a11;"))}')


def unpacked_over_many_parts() -> bytes:
    part = f"<w:hdr {W}>{' ' * 20_000_000}</w:hdr>"
    return raw_docx(body(paragraph("hello")), {f"word/header{n}.xml": part for n in range(15)})


def one_page_many_times() -> bytes:
    return pdf_of(
        [CATALOGUE, b"<</Type/Pages/Kids[%b]/Count 5000>>" % (b"3 0 R " * 5000), b"<</Type/Page/Parent 2 0 R>>"]
    )


def picture_pdf(width: int, height: int) -> bytes:
    entries = b"/Type/XObject/Subtype/Image/Width %d/Height %d/BitsPerComponent 8/ColorSpace/DeviceRGB" % (
        width,
        height,
    )
    return page_pdf(
        stream(b"600 0 0 800 0 0 cm /I Do"),
        resources=b"/XObject<</I 5 0 R>>",
        more=[stream(zeros(3 * 10**9), entries + b"/Filter/FlateDecode")],
    )


def drawing_without_end() -> bytes:
    return page_pdf(stream(zlib.compress(b"0 0 m 600 800 l S " * 4_000_000), b"/Filter/FlateDecode"))


def form_that_draws_itself() -> bytes:
    form = stream(b"/I Do " * 100, b"/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</I 5 0 R>>>>")
    return page_pdf(stream(b"/I Do " * 100), resources=b"/XObject<</I 5 0 R>>", more=[form])


def flate_of_flate() -> bytes:
    return page_pdf(stream(zlib.compress(zeros(4 * 10**9), 9), b"/Filter[/FlateDecode/FlateDecode]"))


HOSTILE: dict[str, tuple[Callable[[], bytes], set[str]]] = {
    "a docx that unpacks to 400 MB": (lambda: raw_docx(body(" " * 400_000_000)), {"too_large"}),
    "a docx that unpacks to 300 MB over its parts": (unpacked_over_many_parts, {"too_large"}),
    "a docx of 20,000 entries": (lambda: raw_docx(body(""), {f"x/{n}": "" for n in range(20_000)}), {"too_large"}),
    "billion laughs": (laughs, {"unsafe"}),
    "a docx nested 200,000 deep": (lambda: raw_docx(body("<w:sdt>" * 200_000 + "</w:sdt>" * 200_000)), {"too_complex"}),
    "a paragraph nested 200,000 deep": (
        lambda: raw_docx(body("<w:p>" + "<w:ins>" * 200_000 + "</w:ins>" * 200_000 + "</w:p>")),
        {"too_complex"},
    ),
    "a PDF of 5,000 pages": (one_page_many_times, {"too_many_pages"}),
    "a PDF that says it has a thousand million pages": (
        lambda: pdf_of([CATALOGUE, b"<</Type/Pages/Kids[3 0 R]/Count 1000000000>>", b"<</Type/Page/Parent 2 0 R>>"]),
        {"no_text", "too_many_pages", "damaged"},
    ),
    "a PDF whose pages contain each other": (
        lambda: pdf_of([CATALOGUE, b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2>>"]),
        {"damaged"},
    ),
    "a PDF whose form draws itself": (form_that_draws_itself, {"no_text", "too_slow", "too_complex", "damaged"}),
    "a PDF page that unpacks to 4 GB": (flate_of_flate, {"too_complex", "damaged", "no_text"}),
    "a PDF with a picture of 50,000 x 50,000": (
        lambda: picture_pdf(50_000, 50_000),
        {"no_text", "too_complex", "damaged"},
    ),
    "a PDF that draws without end": (drawing_without_end, {"too_slow", "too_complex", "damaged"}),
    "a PNG of 50,000 x 50,000": (lambda: png_head(50_000, 50_000), {"too_large"}),
    "a PNG without its pixels": (lambda: png_head(8_000, 8_000), {"damaged"}),
    "RTF nested ten million deep": (lambda: b"{\\rtf1" + b"{" * 10_000_000, {"damaged"}),
    "49 MB of one letter": (lambda: b"a" * 49_000_000, {"too_long"}),
    "more than 50 MB": (lambda: b"a" * 50_000_001, {"too_large"}),
    "no byte": (lambda: b"", {"no_text"}),
    "blanks": (lambda: b" \n" * 1000, {"no_text"}),
    "a program": (lambda: Path(sys.executable).read_bytes()[:1_000_000], {"unsupported"}),
    "a PDF with a password": (lambda: letter_pdf(owner_password="owner", user_password="user"), {"encrypted"}),
    "a doc with a password": (lambda: (FOLDER / "password.doc").read_bytes(), {"encrypted"}),
    "a docx with a password": (lambda: (FOLDER / "password.docx").read_bytes(), {"encrypted"}),
    "half a PDF": (lambda: letter_pdf()[:700], {"damaged"}),
    "half a docx": (lambda: letter_docx()[:9000], {"damaged"}),
    "half a doc": (lambda: word_97("hello\r" * 1000)[:6000], {"damaged"}),
    "half a PNG": (lambda: encoded(picture(letter_pdf()))[:9000], {"damaged"}),
    "half a JPEG": (lambda: encoded(picture(letter_pdf()), "JPEG")[:30_000], {"damaged"}),
    "a JPEG that goes on as a PDF": (
        lambda: encoded(picture(letter_pdf()), "JPEG")[:40] + letter_pdf(),
        {"damaged", "no_text"},
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_document_is_refused_in_time_and_the_next_is_read(name: str) -> None:
    make, codes = HOSTILE[name]
    limits = LIMITS if "too_slow" in codes else PATIENT
    data = make()
    begun = time.monotonic()
    with pytest.raises(UnreadableDocumentError) as refused:
        parse(data, limits)
    assert time.monotonic() - begun < limits.seconds + 60
    assert refused.value.code in codes
    assert str(refused.value) == SENTENCES[refused.value.code]
    assert parse(b"Allergic to penicillin.") == "Allergic to penicillin."


def test_no_document_takes_more_memory_than_it_may() -> None:
    bombs = ["a PDF page that unpacks to 4 GB", "a PDF with a picture of 50,000 x 50,000", "49 MB of one letter"]
    program = (
        "import resource\n"
        "from contextlib import suppress\n"
        "from tests.integration.test_context_hostile import HOSTILE, parse\n"
        f"for name in {bombs}:\n"
        "    with suppress(Exception):\n"
        "        parse(HOSTILE[name][0]())\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=_with_root(), capture_output=True, check=True, timeout=900
    )
    most = int(done.stdout) * (1 if sys.platform == "darwin" else 1024)
    assert 50_000_000 < most <= MEMORY


def test_a_document_that_takes_too_long_is_given_up_within_the_time_set() -> None:
    begun = time.monotonic()
    with pytest.raises(UnreadableDocumentError) as refused:
        parse(drawing_without_end(), Limits(seconds=60, page_seconds=2))
    assert refused.value.code == "too_slow"
    assert time.monotonic() - begun < 50, "what one page may take was not looked at"


def test_a_process_that_the_system_ends_is_to_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.Popen

    def and_killed(*arguments: object, **options: object) -> "subprocess.Popen[bytes]":
        process: subprocess.Popen[bytes] = started(*arguments, **options)  # type: ignore[call-overload]
        process.send_signal(signal.SIGKILL)
        return process

    monkeypatch.setattr(subprocess, "Popen", and_killed)
    with pytest.raises(EngineError) as error:
        parse(b"Allergic to penicillin.")
    assert error.value.retryable


def test_a_process_that_cannot_be_started_is_to_be_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EngineError) as error:
        parse(b"Allergic to penicillin.")
    assert error.value.retryable


def test_a_part_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pypdfium2.py").write_text("raise ModuleNotFoundError('no', name='pypdfium2')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(MissingExtraError) as error:
        parse(letter_pdf())
    assert "osler[documents]" in str(error.value)
    assert parse(b"Plain text needs no part.") == "Plain text needs no part."


CONFINED = """
import json, os, socket, subprocess, sys, tempfile
out = os.dup(1)
from osler.engines.documents.confinement import confine
confine(memory=2**30, seconds=30)
def refused(act):
    try:
        act()
    except (OSError, MemoryError) as error:
        return type(error).__name__
    return "done"
os.write(out, json.dumps({
    "environment": sorted(os.environ),
    "write": refused(lambda: open("/tmp/osler-was-here", "w")),
    "temporary": refused(tempfile.TemporaryFile),
    "connect": refused(lambda: socket.create_connection(("127.0.0.1", 9))),
    "look up": refused(lambda: socket.getaddrinfo("localhost", 9)),
    "start": refused(lambda: subprocess.run(["true"])),
    "shell": refused(lambda: os.system("true")),
    "memory": refused(lambda: bytearray(2**31)),
    "read": refused(lambda: open(os.__file__)),
}).encode())
"""


def test_the_process_that_reads_can_neither_write_nor_connect_nor_start_anything() -> None:
    done = subprocess.run([sys.executable, "-c", CONFINED], capture_output=True, check=True, timeout=600)
    said = json.loads(done.stdout)
    assert said["read"] == "done"
    assert {name for name, outcome in said.items() if outcome == "done"} == {"read"}


def test_the_process_that_reads_gets_no_secret_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spy = tmp_path / "parts"
    spy.mkdir()
    # Stands in for a library of the child, and ends the process in one way or the other.
    (spy / "olefile.py").write_text("import os\nos.kill(os.getpid(), 6 if 'OSLER_MASTER_KEY' in os.environ else 11)\n")
    monkeypatch.setenv("OSLER_MASTER_KEY", "00" * 32)
    monkeypatch.setenv("PYTHONPATH", str(spy))
    with pytest.raises(UnreadableDocumentError) as refused:
        parse(word_97("hello\r"))
    assert refused.value.code == "damaged"  # ended by signal 11; by signal 6 it would be too_complex
    assert sorted(path.name for path in spy.rglob("*")) == ["olefile.py"]


@pytest.mark.skipif(sys.platform != "linux", reason="looks for the process in /proc")
def test_the_process_that_reads_ends_with_the_worker_that_started_it(tmp_path: Path) -> None:
    (tmp_path / "slow.pdf").write_bytes(drawing_without_end())
    program = (
        "import sys\n"
        "from osler.engines.documents.parser import SubprocessDocumentParser\n"
        "SubprocessDocumentParser().parse(open(sys.argv[1], 'rb'))\n"
    )
    worker = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "slow.pdf")])
    try:
        children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children")
        until = time.monotonic() + 60
        while not (found := children.read_text().split()) and time.monotonic() < until:
            time.sleep(0.1)
        (child,) = (int(each) for each in found)
        time.sleep(2)
    finally:
        worker.kill()
        worker.wait()
    until = time.monotonic() + 60
    while _runs(child) and time.monotonic() < until:
        time.sleep(0.2)
    assert not _runs(child)


def _runs(process: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def _with_root() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}
