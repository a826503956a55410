"""Weights from the upstream hub over HTTPS, continuing where an earlier download broke off.

Continuing uses range requests, RFC 9110 section 14.
"""

import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import Any

from osler import __version__
from osler.kernel.errors import SourceUnavailableError
from osler.kernel.progress import Progress
from osler.weights.model import WeightsFile
from osler.weights.partial import CHUNK
from osler.weights.ports import Sink

_TIMEOUT = 30.0  # seconds without a byte
_ATTEMPTS = 3  # failures in a row, without CHUNK bytes between them
_PAUSE = 0.5  # seconds before the second attempt, doubled before each further one
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}


class _BrokenOffError(Exception):
    """This attempt failed; another may do better. The message says why."""


class _StayOnHttps(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to an address that Osler would have asked itself."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        _check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


class HubSource:
    """Files under one address. Plain http is spoken only with this machine itself."""

    def __init__(self, url: str) -> None:
        self._url = url if url.endswith("/") else url + "/"
        self.label = urllib.parse.urlsplit(url).hostname or "hub"
        self._opener = urllib.request.build_opener(_StayOnHttps)

    def fetch(self, file: WeightsFile, sink: Sink, progress: Progress) -> None:
        """Download the file, continuing after what the sink holds. Raises SourceUnavailableError."""
        failures = 0
        while True:
            before = sink.received
            try:
                return self._attempt(file, sink)
            except _BrokenOffError as error:
                failures = 1 if sink.received - before >= CHUNK else failures + 1
                if failures == _ATTEMPTS:
                    raise SourceUnavailableError(f"{file.path}: {error}") from error
                time.sleep(_PAUSE * 2 ** (failures - 1))

    def _attempt(self, file: WeightsFile, sink: Sink) -> None:
        if sink.received == file.size > 0:
            return
        address = self._url + urllib.parse.quote(file.path)
        _check(address)
        headers = {"User-Agent": f"osler/{__version__}", "Accept-Encoding": "identity"}
        if sink.received:
            headers["Range"] = f"bytes={sink.received}-"
        try:
            with self._opener.open(urllib.request.Request(address, headers=headers), timeout=_TIMEOUT) as response:
                if response.status != http.client.PARTIAL_CONTENT or not _continues(response, sink.received):
                    if response.status == http.client.PARTIAL_CONTENT:
                        sink.restart()
                        raise _BrokenOffError("the server answered with another part than the one asked for")
                    sink.restart()
                expected = response.headers.get("Content-Length")
                arrived = 0
                while chunk := response.read(CHUNK):
                    sink.write(chunk)
                    arrived += len(chunk)
        except urllib.error.HTTPError as error:
            with error:
                if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                    sink.restart()
                elif error.code < 500 and error.code != http.client.TOO_MANY_REQUESTS:
                    raise SourceUnavailableError(f"{file.path}: the server answers {error.code}") from error
                raise _BrokenOffError(f"the server answers {error.code}") from error
        except urllib.error.URLError as error:
            raise _BrokenOffError(f"no connection, {_reason(error.reason)}") from error
        except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
            raise _BrokenOffError(f"the connection broke off, {_reason(error)}") from error
        if expected is not None and expected.isdigit() and arrived < int(expected):
            raise _BrokenOffError("the connection broke off")


def _check(address: str) -> None:
    """Refuse an address that is neither https nor on this machine."""
    parts = urllib.parse.urlsplit(address)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise SourceUnavailableError(f"weights are taken over https only, not from {parts.scheme}://{parts.hostname}")


def _continues(response: Any, offset: int) -> bool:
    """Say whether a partial answer begins at ``offset``."""
    begin = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return begin is not None and int(begin[1]) == offset


def _reason(error: object) -> str:
    """Return a short cause: the system's words, or the kind of error; never an address."""
    return getattr(error, "strerror", None) or type(error).__name__
