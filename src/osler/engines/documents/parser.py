"""The adapter of DocumentParser: each document is read in a process of its own, with limits, by pipes alone."""

import json
import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import Any, BinaryIO, Final

from osler.encounters.document_types import DocumentType
from osler.encounters.model import ParsedDocument
from osler.engines.documents.limits import MAX_CHARACTERS, Limits
from osler.engines.documents.refusals import SENTENCES
from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import EngineError, MissingExtraError, UnreadableDocumentError

_KEPT: Final = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "SYSTEMROOT")
"""Variables that a Python needs to find itself. Others may hold keys, and a stranger's file gets none of them."""

_SET: Final = {
    "HOME": os.devnull,
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "ORT_DISABLE_TELEMETRY": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUTF8": "1",
}

_log: Final = logging.getLogger(__name__)

_CHUNK: Final = 1024**2
_LONGEST_LINE: Final = 12 * MAX_CHARACTERS + 4096
"""Bytes: JSON writes a character beyond the first 65,536 in 12."""

_KILLED: Final = -9
_OUT_OF_PROCESSOR_TIME: Final = -24
_ABORTED: Final = (-4, -5, -6)
"""What libraries in C and C++ end with that get no more memory: SIGILL, SIGTRAP, SIGABRT."""

_EXTRA: Final = "Scans, photos and PDFs need parts that are not installed: install osler[documents], then try again."


class SubprocessDocumentParser:
    """Implements :class:`osler.encounters.ports.DocumentParser`."""

    def __init__(self, limits: Limits | None = None) -> None:
        self._limits = limits or Limits()

    @property
    def record(self) -> EngineRecord:
        """What read a document; the version is that of the OCR."""
        try:
            reads_pictures = version("rapidocr")
        except PackageNotFoundError:
            reads_pictures = "none"
        return EngineRecord("documents/pp-ocrv6", reads_pictures, self._limits.to_json())

    def parse(self, file: BinaryIO) -> ParsedDocument:
        """Read a document; call this in a thread.

        Raises UnreadableDocumentError, MissingExtraError, and EngineError, which is retryable if the machine had not
        enough memory or could not start another process.
        """
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "osler.engines.documents.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _KEPT if name in os.environ} | _SET,
                close_fds=True,
            )
        except (OSError, MemoryError):
            raise EngineError("The process that reads documents cannot be started.", retryable=True) from None
        watch = _Watch(process, self._limits)
        try:
            watch.start()
            outcome = self._conversation(process, watch, file)
        finally:
            process.kill()
            code = process.wait()
            watch.end()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with suppress(OSError):
                        pipe.close()
        return _parsed(outcome, watch, code)

    def _conversation(self, process: "subprocess.Popen[bytes]", watch: "_Watch", file: BinaryIO) -> dict[str, Any]:
        """Hand the document over and return the last that the process said; empty if it ended before."""
        assert process.stdin is not None and process.stdout is not None
        with suppress(BrokenPipeError):
            process.stdin.write(json.dumps(self._limits.to_json()).encode() + b"\n")
            while chunk := file.read(_CHUNK):
                process.stdin.write(chunk)
            process.stdin.close()
        while line := process.stdout.readline(_LONGEST_LINE):
            try:
                said: dict[str, Any] = json.loads(line)
            except ValueError:
                break
            if "page" not in said:
                process.wait()
                return said
            watch.page_turned()
        process.wait()
        return {}


class _Watch(threading.Thread):
    """Ends the process when it takes too long: for the document, or for a page."""

    def __init__(self, process: "subprocess.Popen[bytes]", limits: Limits) -> None:
        super().__init__(daemon=True)
        self._process = process
        self._page_seconds = limits.page_seconds
        now = time.monotonic()
        self._end = now + limits.seconds
        self._page_end = now + limits.page_seconds
        self._ended = threading.Event()
        self.expired = False

    def run(self) -> None:
        """Wait for the end of the process or of its time."""
        while (left := min(self._end, self._page_end) - time.monotonic()) > 0:
            if self._ended.wait(left):
                return
        self.expired = True
        self._process.kill()

    def page_turned(self) -> None:
        """Give the next page its time."""
        self._page_end = time.monotonic() + self._page_seconds

    def end(self) -> None:
        """Watch no longer."""
        self._ended.set()
        self.join()


def _parsed(outcome: dict[str, Any], watch: _Watch, code: int) -> ParsedDocument:
    """Return what was read. Raises what the outcome, or the way in which the process ended, says."""
    if "text" in outcome:
        return ParsedDocument(
            text=outcome["text"],
            media_type=DocumentType(outcome["type"]).value,
            pages=outcome["pages"],
            pages_by_ocr=outcome["by_ocr"],
        )
    if "error" in outcome:
        _log.warning("a document cannot be read", extra={"error": outcome["error"], "place": outcome["place"]})
    if outcome.get("refused") in SENTENCES:
        raise _refusal(outcome["refused"])
    if "missing" in outcome:
        raise MissingExtraError(_EXTRA)
    if watch.expired or code == _OUT_OF_PROCESSOR_TIME:
        raise _refusal("too_slow")
    if code == _KILLED:  # not by us: the system does that when it has no memory left
        raise EngineError("The process that reads documents was ended by the system.", retryable=True)
    # A library met something in the file that it does not survive.
    raise _refusal("too_complex" if code in _ABORTED else "damaged")


def _refusal(code: str) -> UnreadableDocumentError:
    return UnreadableDocumentError(code, SENTENCES[code])
