"""Logs: JSON lines on standard error that only listed fields can enter, so that no PHI can reach them.

A line's ``event`` is a text that stands as a constant in the code that logs it; whatever else is put there, an f-string
or a variable, is left out. Each listed field has a shape (an id, a number, a route's template) and is left out in any
other. An exception is its class and the places that it passed, never its message. What libraries log is reduced to who,
how urgent and where. Everything of the standard library's ``logging`` takes the same way as structlog's loggers.
"""

import contextlib
import ipaddress
import json
import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Mapping, MutableMapping
from datetime import UTC, datetime
from enum import Enum
from pathlib import PurePath
from types import FrameType, TracebackType
from typing import Any, Final, TextIO

import structlog

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

UNLISTED: Final = "unlisted"
"""The event of a line whose own text is no constant of the code that logged it."""

THIRD_PARTY: Final = "third_party"
"""The event of every line of a library."""

HIDDEN: Final = "…"
"""Stands in a text for an argument that is neither a number nor an id nor an error's name."""

MOST_FRAMES: Final = 20
REQUEST_ID: Final = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}")
"""Shape of a request's id: a UUID. An id of free form could carry a name."""

_ID: Final = re.compile(r"[0-9a-f]{24}|[1-9][0-9]{17}|" + REQUEST_ID.pattern)
_JOB_ID: Final = re.compile(rf"(?:{_ID.pattern})(?:[-:.][0-9a-z_]{{1,24}})?")
_ERROR: Final = re.compile(r"[A-Z][A-Za-z0-9]{0,60}(?:Error|Exception|Exit|Interrupt|Warning|Timeout|Group)")
_PLACE: Final = re.compile(r"[A-Za-z0-9_]{1,80}\.py:[0-9]{1,6}")
_VERSION: Final = re.compile(r"[0-9]+(?:\.[0-9]+){1,3}(?:[a-z]+[0-9]+)?")
_DIRECTIVE: Final = re.compile(r"%(?:%|[-#0 +]*[0-9]*(?:\.[0-9]+)?[a-zA-Z])")
_LARGEST: Final = 10**15
_LARGEST_IN_TEXT: Final = 10**6

_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_encode: Final = json.JSONEncoder(ensure_ascii=False).encode  # made once: every request has a line

_routes: set[str] = {"other"}
_lock: Final = threading.Lock()
_dropped = 0
_least = LEVELS["info"]


def know_routes(templates: Iterable[str]) -> None:
    """Let these templates of routes (``/media/{blob_id}``) into the field ``route``; no path that was requested."""
    _routes.update(templates)


def dropped_fields() -> int:
    """Return how many values this process has left out of its logs."""
    return _dropped


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """Send everything that is logged in this process to ``stream`` (standard error), through the filter.

    ``level`` is the least urgent that is written; of libraries, warnings and worse. Uncaught exceptions of threads and
    of finalizers, which Python would print with their messages, become lines too. May be called again.
    """
    _out.stream = stream
    least = LEVELS[level]
    _configure_structlog(least)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler, _Records):
            root.removeHandler(handler)
    root.addHandler(_Records(least))
    root.setLevel(min(least, logging.WARNING))
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    logging.getLogger("osler").setLevel(least)
    # Otherwise a handler that fails prints the line's arguments, and a warning its text.
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable


def _configure_structlog(least: int) -> None:
    global _least
    _least = least
    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.add_log_level, _filtered],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        logger_factory=lambda *_: _out,
        cache_logger_on_first_use=False,
    )


class _Lines:
    """Writes one line for each event; never fails and never blocks the others for longer than the write."""

    def __init__(self) -> None:
        self.stream: TextIO | None = None

    def write(self, line: str) -> None:
        # Nowhere to write to is no reason to stop working.
        with contextlib.suppress(OSError, ValueError, AttributeError), _lock:
            stream = self.stream if self.stream is not None else sys.stderr
            stream.write(line + "\n")
            stream.flush()

    debug = info = warning = error = critical = msg = write
    exception = fatal = failure = err = log = write


_out: Final = _Lines()


def request(**fields: object) -> None:
    """Write the line of a request that went well, as a logger of structlog would in three times the time: every request
    has one. ``fields`` go through the same filter."""
    if _least <= LEVELS["info"]:
        event = {**structlog.contextvars.get_contextvars(), **fields}
        _out.write(_line(event, "request", "osler.api.requests", None))


class _Records(logging.Handler):
    """Takes the records of the standard library's logging and of everything that uses it."""

    def __init__(self, least: int) -> None:
        super().__init__()
        self._least = least

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record as a line."""
        ours = record.name.partition(".")[0] == "osler"
        if record.levelno < (self._least if ours else max(self._least, logging.WARNING)):
            return
        event = dict(structlog.contextvars.get_contextvars())
        event.update((name, value) for name, value in vars(record).items() if name not in _OF_RECORDS)
        event["level"] = record.levelname.lower()
        event["exc_info"] = record.exc_info
        try:
            if ours:
                frame = _caller()
                _out.write(_line(event, _text(record, frame), record.name, frame))
            else:
                event["place"] = f"{record.filename}:{record.lineno}"
                _out.write(_line(event, THIRD_PARTY, record.name, None))
        except Exception:  # noqa: BLE001  (whatever is wrong with a record, it must neither stop the work nor be shown)
            _out.write('{"event": "unloggable", "level": "error"}')


_OF_RECORDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def _filtered(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> str:
    """Turn an event of structlog into a line; the last of its processors."""
    frame = _caller()
    text = event.pop("event", None)
    if not _is_constant_of(frame, text):
        _count(1)
        text = UNLISTED
    name = frame.f_globals.get("__name__", "") if frame else ""
    return _line(event, text, name, frame)


def _line(event: Mapping[str, Any], text: str, logger: str, frame: FrameType | None) -> str:
    """Return the JSON of what may leave."""
    kept: dict[str, Any] = {
        "timestamp": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": event["level"] if event.get("level") in LEVELS else "info",
        "event": text,
        "logger": _logger_name(logger),
    }
    dropped = 0
    for name, value in event.items():
        if name in ("level", "exc_info", "event") or value is None:
            continue
        shape = FIELDS.get(name)
        shown = shape(value) if shape else None
        if shown is None:
            dropped += 1
        else:
            kept[name] = shown
    error = _exception_of(event.get("exc_info"))
    if error is not None:
        kept.update(_described(error))
    if dropped:
        _count(dropped)
        kept["dropped"] = dropped
    return _encode(kept)


def _count(dropped: int) -> None:
    global _dropped
    with _lock:
        _dropped += dropped


# Who logs


def _caller() -> FrameType | None:
    """Return the frame of the code that logs."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] not in ("structlog", "logging") and (
            frame.f_globals.get("__name__") != __name__
        ):
            return frame
        frame = frame.f_back
    return None


def _is_constant_of(frame: FrameType | None, text: object) -> bool:
    return isinstance(text, str) and frame is not None and text in frame.f_code.co_consts


def _logger_name(name: str) -> str:
    """Return a logger's name if it is a module's; of another, the package's; names may be made at run time."""
    root = name.partition(".")[0]
    if name in sys.modules:
        return name
    return root if root in sys.modules else "other"


def _text(record: logging.LogRecord, frame: FrameType | None) -> str:
    """Return a record's text with those arguments that say nothing about a person."""
    if not _is_constant_of(frame, record.msg):
        _count(1)
        return UNLISTED
    arguments = record.args if isinstance(record.args, tuple) else ()
    left = iter(arguments)

    def put(directive: re.Match[str]) -> str:
        if directive.group() == "%%":
            return "%"
        shown = _in_text(next(left, None))
        if shown is None:
            _count(1)
        return HIDDEN if shown is None else shown

    return _DIRECTIVE.sub(put, str(record.msg)) if record.args else str(record.msg)


def _in_text(value: object) -> str | None:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float) and not isinstance(value, Enum):
        return f"{value:.6g}" if abs(value) < _LARGEST_IN_TEXT else None
    if isinstance(value, Enum):
        return _enum(value)
    if isinstance(value, str) and not value:
        return ""
    return next((shown for shape in (_error, _id, _place) if (shown := shape(value)) is not None), None)


# What an exception says


def _exception_of(info: object) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return info[1] if len(info) == 3 and isinstance(info[1], BaseException) else None
    return sys.exc_info()[1] if info else None


def _described(error: BaseException) -> dict[str, Any]:
    """Return the class, the classes of what caused it, and the places that it passed, the innermost last."""
    causes: list[str] = []
    cause, seen = error.__cause__ or error.__context__, {id(error)}
    while cause is not None and id(cause) not in seen and len(causes) < 5:
        causes.append(type(cause).__name__)
        seen.add(id(cause))
        cause = cause.__cause__ or cause.__context__
    described: dict[str, Any] = {"error": type(error).__name__, "frames": _frames(error.__traceback__)}
    return described | ({"causes": causes} if causes else {})


def _frames(trace: TracebackType | None) -> list[str]:
    frames = list(traceback.walk_tb(trace))[-MOST_FRAMES:]
    return [f"{_short(frame.f_code.co_filename)}:{line}" for frame, line in frames]


def _short(filename: str) -> str:
    path = PurePath(filename)
    return "/".join(path.parts[-2:]) if path.suffix == ".py" else "?"


def _uncaught_in_thread(hook: threading.ExceptHookArgs) -> None:
    if hook.exc_type is not SystemExit:
        _say("a thread ended by an exception", hook.exc_value)


def _unraisable(hook: Any) -> None:
    _say("an exception that nobody could catch", hook.exc_value)


def _say(text: str, error: BaseException | None) -> None:
    _out.write(_line({"level": "error", "exc_info": error}, text, __name__, None))


# The shapes of fields: each returns what is written, or None if the value has another shape.


def _matching(pattern: re.Pattern[str]) -> Callable[[object], str | None]:
    return lambda value: value if isinstance(value, str) and pattern.fullmatch(value) else None


def _one_of(words: Iterable[str]) -> Callable[[object], str | None]:
    known = frozenset(words)
    return lambda value: value if isinstance(value, str) and value in known else None


def _number(value: object) -> float | None:
    if isinstance(value, bool | Enum) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        return None
    return round(value, 3)


def _flag(value: object) -> bool | None:
    return value if isinstance(value, bool) else None


def _status(value: object) -> int | None:
    return int(value) if isinstance(value, int) and not isinstance(value, bool) and 100 <= value <= 599 else None


def _enum(value: object) -> str | None:
    """A member of an enumeration is a word of the code, a plain string is not."""
    if not isinstance(value, Enum):
        return None
    return value.value if isinstance(value.value, str) else value.name


def _error(value: object) -> str | None:
    if isinstance(value, BaseException):
        return type(value).__name__
    if isinstance(value, type):
        return value.__name__
    return _matching(_ERROR)(value)


def _route(value: object) -> str | None:
    return value if isinstance(value, str) and value in _routes else None


def _host(value: object) -> str | None:
    try:
        return str(ipaddress.ip_address(value)) if isinstance(value, str) else None
    except ValueError:
        return None


_id: Final = _matching(_ID)
_place: Final = _matching(_PLACE)

FIELDS: Final[Mapping[str, Callable[[Any], Any]]] = {
    # A request
    "route": _route,
    "method": _one_of(_METHODS),
    "status": _status,
    "duration_ms": _number,
    "request_id": _matching(REQUEST_ID),
    # What it is about
    "organization_id": _id,
    "encounter_id": _id,
    "patient_profile_id": _id,
    "recording_id": _id,
    "segment_id": _id,
    "note_id": _id,
    "document_id": _id,
    "user_id": _id,
    "key_id": _id,
    # Work
    "job_id": _matching(_JOB_ID),
    "job_kind": _enum,
    "state": _enum,
    "attempt": _number,
    "attempts": _number,
    "count": _number,
    "seconds": _number,
    "size": _number,
    "given_up": _flag,
    # The process
    "check": _one_of(("database", "blobs", "queue", "weights")),
    "database": _one_of(("sqlite", "postgresql")),
    "blobs": _one_of(("folder", "s3")),
    "host": _host,
    "port": _number,
    "pid": _number,
    "version": _matching(_VERSION),
    "signal": _enum,
    # What went wrong, and where
    "error": _error,
    "place": _place,
}
"""The allow-list: each field and its shape. A field that is not here does not leave the process."""

# Left to itself, structlog prints tracebacks with the values of variables: to import this module is to prevent that.
_configure_structlog(LEVELS["info"])
