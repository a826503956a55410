"""The promise that nothing about a patient reaches a log line, whatever is logged and by whom."""

import ast
import asyncio
import io
import json
import logging
import re
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any

import pytest
import structlog
import uvicorn  # noqa: F401  (a library that is loaded is named)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from osler import logs

CANARY = "Zebedee"

told = st.one_of(
    st.text(max_size=40).map(lambda text: f"{CANARY} {text}"),
    st.from_regex(rf"{CANARY} (Quux|van der Zee), born [0-9]{{4}}-[01][0-9]-[0-3][0-9]", fullmatch=True),
    st.from_regex(rf"{CANARY}[A-Za-z0-9/_.{{}}:%-]{{0,30}}", fullmatch=True),
    st.from_regex(rf"/patients/{CANARY}(/[a-z]+)?(\?q=[a-z]+)?", fullmatch=True),
    st.from_regex(rf"[0-9a-f]{{24}}{CANARY}", fullmatch=True),
)
"""What may stand in a visit, around a word that must never be seen."""

names = st.one_of(
    st.sampled_from([*logs.FIELDS, "patient", "url", "path", "query", "body", "message", "stack_info"]),
    st.from_regex(r"[a-z_]{1,20}", fullmatch=True),
)
values = st.recursive(
    told,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(told, inner, max_size=3), st.tuples(inner), inner.map(Exception)
    ),
    max_leaves=4,
)
OF_RECORDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime"}
OF_BINDING = frozenset({"event", "self", "method_name", "exc_info", "kw"})


class Colour(StrEnum):
    RED = "red"


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    handlers, raising, hooks = (
        logging.getLogger().handlers[:],
        logging.raiseExceptions,
        (
            threading.excepthook,
            sys.unraisablehook,
        ),
    )
    level = logging.getLogger().level
    logs.configure("debug", stream)
    yield stream
    logs.configure("info")
    logging.captureWarnings(False)
    logging.getLogger().handlers[:] = handlers
    logging.getLogger().setLevel(level)
    logging.raiseExceptions = raising
    threading.excepthook, sys.unraisablehook = hooks


def read(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def fail(text: str) -> None:
    try:
        raise KeyError(text)
    except KeyError as error:
        raise ValueError(f"no {text}", {"who": text}) from error


often = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@often
@given(event=told, fields=st.dictionaries(names, values, max_size=5))
def test_no_value_of_an_event_is_seen(lines: io.StringIO, event: str, fields: dict[str, Any]) -> None:
    fields = {name: value for name, value in fields.items() if name not in OF_BINDING}
    structlog.get_logger().info(event, **fields)
    structlog.get_logger().info("said %s", event)
    structlog.get_logger().info("done", **fields)
    with structlog.contextvars.bound_contextvars(**fields):
        structlog.get_logger().warning("done")
        logging.getLogger("osler.notes").warning("done")
    assert CANARY not in lines.getvalue()
    assert [line["event"] for line in read(lines)[-5:]] == ["unlisted", "unlisted", "done", "done", "done"]


@often
@given(text=told)
def test_no_message_of_an_exception_is_seen(lines: io.StringIO, text: str) -> None:
    try:
        fail(text)
    except ValueError as error:
        structlog.get_logger().exception("failed")
        structlog.get_logger().error("failed", exc_info=error, error=error)
        logging.getLogger("osler.audio").exception("failed")
        logging.getLogger("uvicorn.error").exception(text)
        logging.getLogger("sqlalchemy.pool").error("failed %s", text, exc_info=True)
    assert CANARY not in lines.getvalue()
    for line in read(lines)[-5:]:
        assert line["error"] == "ValueError" and line["causes"] == ["KeyError"]
        assert all(re.fullmatch(r"unit/test_logs\.py:[0-9]+", frame) for frame in line["frames"])


@often
@given(
    name=st.sampled_from(["osler.notes", "uvicorn.error", "dbos", "sqlalchemy.engine.Engine", "alembic", "httpx", ""]),
    text=told,
    arguments=st.lists(values, max_size=3),
    extra=st.dictionaries(names, values, max_size=3),
)
def test_nothing_that_the_standard_library_logs_is_seen(
    lines: io.StringIO, name: str, text: str, arguments: list[Any], extra: dict[str, Any]
) -> None:
    extra = {key: value for key, value in extra.items() if key not in OF_RECORDS}
    logger = logging.getLogger(name)
    logger.error(text, extra=extra)
    logger.error("%s and %r and %d", *arguments, extra=extra)
    logger.error(text, *arguments)
    logger.error("for %(who)s", {"who": text})
    logging.getLogger(f"{text}.{name}").error(text)
    assert CANARY not in lines.getvalue()
    assert len(read(lines)) % 5 == 0


@often
@given(text=told)
def test_what_python_would_print_itself_is_not_seen(
    lines: io.StringIO, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    class Careless:
        def __del__(self) -> None:
            fail(text)

    thread = threading.Thread(target=fail, args=(text,))
    thread.start()
    thread.join()
    del thread
    Careless()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure("debug", lines)
        warnings.warn(text, stacklevel=1)

    async def forget() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": text, "exception": ValueError(text)})

    asyncio.run(forget())
    printed = capsys.readouterr()
    assert CANARY not in lines.getvalue() + printed.out + printed.err
    events = [line["event"] for line in read(lines)[-4:]]
    assert events[0] == "a thread ended by an exception"
    assert events[1] == "an exception that nobody could catch"
    assert events[2:] == ["third_party", "third_party"]


def test_a_record_that_cannot_be_written_is_not_printed_either(lines: io.StringIO) -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError(CANARY)

        __str__ = __repr__

    logging.getLogger("osler.notes").error("%s", Hostile())
    logging.getLogger("osler.notes").error("%d", CANARY)
    structlog.get_logger().error("done", count=Hostile())
    assert CANARY not in lines.getvalue()
    assert [line["event"] for line in read(lines)] == ["…", "…", "done"]


def test_a_line_says_what_happened(lines: io.StringIO) -> None:
    logs.know_routes(["/media/{blob_id}"])
    structlog.get_logger().info(
        "request",
        route="/media/{blob_id}",
        method="GET",
        status=206,
        duration_ms=1.23456,
        request_id="5f0f2b64-7d1a-4e0e-9f60-0c1d8a1c7b11",
        encounter_id="123456789012345678",
        organization_id="0123456789abcdef01234567",
        job_kind=Colour.RED,
    )
    (line,) = read(lines)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "level": "info",
        "event": "request",
        "logger": __name__,
        "route": "/media/{blob_id}",
        "method": "GET",
        "status": 206,
        "duration_ms": 1.235,
        "request_id": "5f0f2b64-7d1a-4e0e-9f60-0c1d8a1c7b11",
        "encounter_id": "123456789012345678",
        "organization_id": "0123456789abcdef01234567",
        "job_kind": "red",
    }


def test_a_path_that_was_requested_is_no_route(lines: io.StringIO) -> None:
    structlog.get_logger().info("request", route="/media/0123456789abcdef01234567", method="GET")
    (line,) = read(lines)
    assert "route" not in line and line["dropped"] == 1


def test_what_was_left_out_is_counted(lines: io.StringIO) -> None:
    before = logs.dropped_fields()
    structlog.get_logger().info("done", patient=CANARY, count=CANARY, seconds=2)
    (line,) = read(lines)
    assert line["dropped"] == 2 and line["seconds"] == 2
    assert logs.dropped_fields() == before + 2


def test_a_text_of_ours_shows_ids_numbers_and_names_of_errors_and_hides_the_rest(lines: io.StringIO) -> None:
    logging.getLogger("osler.workflows").warning(
        "job %s of %s failed (%s, %s), attempt %d of %d%%", "0123456789abcdef01234567", CANARY, "EngineError",
        "whisper.py:12", 2, 5,
    )  # fmt: skip
    (line,) = read(lines)
    expected = "job 0123456789abcdef01234567 of … failed (EngineError, whisper.py:12), attempt 2 of 5%"
    assert line["event"] == expected


def test_a_library_is_named_with_the_place_in_its_code_and_only_from_warnings_on(lines: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("Started")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    (line,) = read(lines)
    assert line["event"] == "third_party" and line["level"] == "warning"
    assert line["logger"] == "uvicorn" and re.fullmatch(r"test_logs\.py:[0-9]+", line["place"])


def test_the_level_holds_for_both_kinds_of_loggers() -> None:
    code = (
        "import logging, structlog\n"
        "from osler import logs\n"
        "logs.configure('warning')\n"
        "for log in (structlog.get_logger(), logging.getLogger('osler.notes')):\n"
        "    log.info('quiet')\n"
        "    log.warning('loud')\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [json.loads(line)["event"] for line in shown.stderr.splitlines()] == ["loud", "loud"]


def test_a_closed_stream_does_not_stop_the_work() -> None:
    code = "import structlog, sys\nfrom osler import logs\nlogs.configure()\nsys.stderr.close()\n"
    code += "structlog.get_logger().error('done')\nprint('worked')\n"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "worked\n"


def test_every_line_of_our_code_has_a_constant_text_and_listed_fields_only() -> None:
    """Otherwise it would be there and say nothing: the filter leaves out what is neither."""
    levels = {"debug", "info", "warning", "error", "exception", "critical"}
    seen = 0
    for path in sorted((Path(logs.__file__).parent).rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in levels):
                continue
            owner = ast.unparse(call.func.value)
            if owner not in ("log", "_log", "logger", "_logger", "structlog.get_logger()", "logging.getLogger()"):
                continue
            seen += 1
            where = f"{path.name}:{call.lineno}"
            assert call.args and isinstance(call.args[0], ast.Constant), f"{where}: no constant text"
            named = {keyword.arg for keyword in call.keywords if keyword.arg not in (None, "extra", "exc_info")}
            for keyword in call.keywords:
                if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
                    named |= {str(key.value) for key in keyword.value.keys if isinstance(key, ast.Constant)}
            assert named <= set(logs.FIELDS), f"{where}: {sorted(map(str, named - set(logs.FIELDS)))} would be left out"
    assert seen > 20


def test_a_process_that_configures_nothing_shows_no_values_of_variables_either() -> None:
    code = (
        "import structlog, osler.api.app\n"
        f"said = '{CANARY}'\n"
        "try:\n"
        "    raise ValueError(said)\n"
        "except ValueError:\n"
        "    structlog.get_logger().exception('failed', patient=said)\n"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout == "" and json.loads(shown.stderr)["error"] == "ValueError" and CANARY not in shown.stderr
