"""Readiness when parts hang or fail, and the HTTP door's last resorts, on the app itself."""

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from osler.api import errors as door
from osler.api import health
from osler.api.app import create_app
from osler.api.requests import SMALL
from osler.audit.model import OPERATOR
from osler.bootstrap import Core, initialise, open_core
from osler.config import Settings
from osler.kernel import errors
from tests.loop_clock import pass_by
from tests.server_lab import Server
from tests.servers.postgresql import PostgresqlServer

pytestmark = pytest.mark.anyio

SECRET = "Zebedee Quux"
PATIENCE = 60.0


@pytest.fixture
async def core(anyio_backend: str, tmp_path: Path) -> AsyncIterator[Core]:
    settings = Settings(data=tmp_path / "data", max_upload_mb=6)
    await initialise(settings)
    async with open_core(settings, engine="inline") as core:
        yield core


@asynccontextmanager
async def client_of(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://osler") as client:
        yield client


class Hanging:
    """A part that does not answer; counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    async def check(self) -> None:
        self.asked += 1
        await asyncio.sleep(3600)


class Failing:
    """A part that fails with a text that nobody may see."""

    async def check(self) -> None:
        raise errors.DatabaseUnavailableError(SECRET)


class Observed:
    """A real part that counts its checks."""

    def __init__(self, part: Any) -> None:
        self._part = part
        self.begun = self.ended = 0

    async def check(self) -> None:
        self.begun += 1
        await self._part.check()
        self.ended += 1


class With:
    """A core with other parts, for what cannot be had from real ones at will."""

    def __init__(self, core: Core, **parts: object) -> None:
        self._core = core
        self._parts = parts

    def __getattr__(self, name: str) -> object:
        return self._parts[name] if name in self._parts else getattr(self._core, name)


async def test_a_part_that_hangs_is_answered_within_bounded_time_and_asked_once(core: Core) -> None:
    hanging, blobs = Hanging(), Observed(core.vault)
    app = create_app(With(core, database=hanging, vault=blobs))  # type: ignore[arg-type]
    async with client_of(app) as client, asyncio.timeout(PATIENCE):
        asked = []
        for count in (1, 2):
            asked.append(asyncio.create_task(client.get("/readyz")))
            while blobs.ended < count:
                await asyncio.sleep(0.01)
        assert not any(request.done() for request in asked)
        pass_by(health.LONGEST)
        for answer in await asyncio.gather(*asked):
            assert answer.status_code == 503
            assert answer.json()["checks"]["database"] == {"status": "timed out"}
            assert answer.json()["checks"]["blobs"] == {"status": "ok"}
    assert hanging.asked == 1


async def test_what_failed_is_named_by_its_class_alone(core: Core) -> None:
    async with client_of(create_app(With(core, database=Failing()))) as client:  # type: ignore[arg-type]
        answer = await client.get("/readyz")
    assert answer.status_code == 503 and SECRET not in answer.text
    assert answer.json()["checks"]["database"] == {"status": "failed", "error": "DatabaseUnavailableError"}


async def test_an_engine_that_does_not_run_is_named(core: Core) -> None:
    await core.engine.stop()
    async with client_of(create_app(core)) as client:
        assert (await client.get("/readyz")).json()["checks"]["queue"] == {"status": "failed", "error": "NotReadyError"}


async def test_metrics_count_jobs_and_keep_their_last_value_while_the_database_is_away(
    core: Core, tmp_path: Path
) -> None:
    await core.access.create_organization(OPERATOR, "Practice")
    async with client_of(create_app(core)) as client:
        before = await client.get("/metrics")
        database = tmp_path / "data/osler.db"
        await core.database.dispose()
        database.rename(database.with_suffix(".away"))
        away = await client.get("/metrics")
        database.with_suffix(".away").rename(database)
        back = await client.get("/metrics")
    line = 'osler_jobs{kind="write_note",state="queued"} 0.0'
    assert [line in answer.text for answer in (before, away, back)] == [True, True, True]
    assert [answer.status_code for answer in (before, away, back)] == [200, 200, 200]


def door_with_routes(core: Core) -> FastAPI:
    app = create_app(core)

    @app.get("/fails/{name}")
    async def fails(name: str) -> None:
        raise RuntimeError(f"{SECRET} {name}")

    @app.post("/takes")
    async def takes(request: Request) -> dict[str, int]:
        return {"bytes": len(await request.body())}

    @app.get("/number")
    async def number(count: int) -> int:
        return count

    @app.get("/raises/{index}")
    async def raises(index: int) -> None:
        raise all_errors()[index]

    return app


def all_errors() -> Sequence[errors.OslerError]:
    """Return one of each class, with a text that only a caller's own mistake may show."""
    made: list[errors.OslerError] = []
    for cls in vars(errors).values():
        if isinstance(cls, type) and issubclass(cls, errors.OslerError):
            # Those that take more than a message take a code or a field's name before it.
            before = 0 if cls.__init__ is Exception.__init__ else _required(cls) - 1
            made.append(cls(*["name"] * before, SECRET))
    return made


def _required(cls: type) -> int:
    parameters = inspect.signature(cls).parameters.values()
    return len([p for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD])


async def test_every_error_of_osler_has_a_status_and_shows_its_text_only_where_the_caller_can_act(core: Core) -> None:
    async with client_of(door_with_routes(core)) as client:
        for index, error in enumerate(all_errors()):
            answer = await client.get(f"/raises/{index}")
            status, code = door.status_of(error)
            assert answer.status_code == status and answer.json()["error"]["code"] == code
            callers = isinstance(error, errors.InputError | errors.NotAllowedError)
            assert (status < 500) is callers, type(error)
            assert (SECRET in answer.text) is callers, type(error)
            assert ("retry-after" in answer.headers) is (status == 503)


async def test_an_unexpected_error_is_json_without_its_text(core: Core, capsys: pytest.CaptureFixture[str]) -> None:
    async with client_of(door_with_routes(core)) as client:
        answer = await client.get("/fails/Quux")
    assert answer.status_code == 500
    assert answer.json() == {"error": {"code": "internal", "message": door.TEXTS[500]}}
    assert answer.headers["x-request-id"]
    printed = capsys.readouterr()
    assert "Quux" not in printed.out + printed.err


async def test_a_value_that_cannot_be_used_is_named_and_not_repeated(core: Core) -> None:
    async with client_of(door_with_routes(core)) as client:
        answer = await client.get("/number", params={"count": SECRET})
    assert answer.status_code == 422 and answer.json()["error"]["field"] == "count"
    assert SECRET not in answer.text


async def test_a_body_beyond_the_limit_is_refused_whether_it_says_its_length_or_not(core: Core) -> None:
    async def in_pieces(size: int) -> AsyncIterator[bytes]:
        for _ in range(size // 100_000):
            yield bytes(100_000)

    async with client_of(door_with_routes(core)) as client:
        assert (await client.post("/takes", content=bytes(6_000_000))).json() == {"bytes": 6_000_000}
        for content in (bytes(6_000_001), in_pieces(6_100_000)):
            answer = await client.post("/takes", content=content)
            assert answer.status_code == 413 and answer.json()["error"]["code"] == "too_large"
        # JSON is never that large: a limit of its own.
        as_json = {"Content-Type": "application/json; charset=utf-8"}
        assert (await client.post("/takes", content=bytes(SMALL), headers=as_json)).status_code == 200
        assert (await client.post("/takes", content=bytes(SMALL + 1), headers=as_json)).status_code == 413


@pytest.mark.services
def test_a_database_server_that_goes_and_comes_back_shows_in_readiness(tmp_path: Path) -> None:
    postgresql = PostgresqlServer(durable=True)
    try:
        postgresql.start()
        settings = {"OSLER_DATABASE": postgresql.create_database("osler")}
        with Server(tmp_path / "data", "--no-worker", log=tmp_path / "server.log", environment=settings) as server:
            _wait_until_ready(server)
            assert server.line("ready")["database"] == "postgresql"  # type: ignore[index]
            assert not (tmp_path / "data/osler.db").exists()
            postgresql.stop()
            ready = server.readiness(blobs={"status": "ok"})
            assert ready.status_code == 503
            assert ready.json()["checks"]["database"]["status"] in ("failed", "timed out")
            assert ready.json()["checks"]["blobs"] == {"status": "ok"}
            postgresql.start()
            _wait_until_ready(server)
            assert str(postgresql.folder) not in server.text()
    finally:
        postgresql.close()


def _wait_until_ready(server: Server) -> None:
    deadline = time.monotonic() + PATIENCE
    while (answer := server.get("/readyz")).status_code != 200:
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.2)


@pytest.mark.services
def test_a_database_server_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    url = f"postgresql://osler:hunter2@/osler?host={tmp_path}"
    server = Server(tmp_path / "data", log=tmp_path / "server.log", environment={"OSLER_DATABASE": url})
    server.start()
    assert server.wait(60) == 50
    assert server.text().splitlines()[-1].startswith("osler: the database cannot be reached")
    assert "hunter2" not in server.text() and "Traceback" not in server.text()
