"""The stream of a consult note: begins before the note is finished, waits for its transcript, and loses nothing."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from osler.api.app import create_app
from osler.api.scribe import streams, writing
from osler.api.scribe.app import BASE_PATH
from osler.kernel.errors import EngineError
from osler.notes.model import Evidence, Section, Sentence, TextStatus
from osler.notes.service import NoteService
from osler.notes.writing import WritingTask, WrittenPart
from tests.pipeline_lab import PlainWriter, chunks_of, tones
from tests.scribe_practice import Clinician, Town, ok, refused
from tests.writing_lab import a_visit, opened_practice_town

pytestmark = pytest.mark.anyio

PATIENCE = 60.0
PIECES = ("# One\n\nFirst.\n\n", "# Two\n\nSecond.\n")


class HesitantWriter(PlainWriter):
    """Writes a piece, and the second only once it may; ``breaks`` in between if it is to."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()
        self.breaks = False

    def compose(self, task: WritingTask) -> Iterator[WrittenPart]:
        transcript = task.sources.transcript
        quoted = (Evidence.cite(transcript, 0, 0, len(transcript.turns[0].text)),)
        for text, heading in zip(PIECES, ("One", "Two"), strict=True):
            if text is not PIECES[0]:
                self.may_go_on.wait(PATIENCE)
                if self.breaks:
                    raise EngineError("It broke in the middle.")
            sentence = text.split("\n")[2]
            yield WrittenPart(text, Section(heading, (Sentence(sentence, quoted),)))


@pytest.fixture
def writer() -> Iterator[HesitantWriter]:
    writer = HesitantWriter()
    yield writer
    writer.may_go_on.set()


@pytest.fixture
async def town(writer: HesitantWriter, sqlite_url: str, tmp_path: Path) -> AsyncIterator[Town]:
    """A deployment on the real workflow engine, whose writer hesitates."""
    async with opened_practice_town(tmp_path, sqlite_url, engine="dbos", notes=lambda: NoteService(writer)) as town:
        yield town


@pytest.fixture
async def clinician(town: Town) -> Clinician:
    return await town.clinician()


@asynccontextmanager
async def served(town: Town, clinician: Clinician) -> AsyncIterator[httpx.AsyncClient]:
    """Serve on a real socket: a client that gets an answer piece by piece, and can hang up."""
    config = uvicorn.Config(create_app(town.core), port=0, log_config=None, lifespan="off", ws="none")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    headers = {"Authorization": f"Bearer {clinician.token}"}
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}{BASE_PATH}", headers=headers, timeout=PATIENCE
    ) as http:
        yield http
    server.should_exit = True
    await serving


async def note_of(clinician: Clinician, session_id: str, status: str) -> dict[str, Any]:
    """Wait until the session's note has a status."""
    async with asyncio.timeout(PATIENCE):
        while (note := (await clinician.told(session_id))["consult_note"])["status"] != status:
            await asyncio.sleep(0.05)
    return dict(note)


async def test_the_first_piece_comes_while_the_note_is_being_written(
    town: Town, clinician: Clinician, writer: HesitantWriter
) -> None:
    session_id = await a_visit(clinician)
    async with (
        served(town, clinician) as http,
        http.stream("POST", f"/sessions/{session_id}/consult-note", json={}) as answer,
    ):
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines)) == {"data": PIECES[0]}
        note = await note_of(clinician, session_id, "GENERATING")
        assert note["result"] is None
        writer.may_go_on.set()
        assert [json.loads(line) async for line in lines] == [{"data": PIECES[1]}]
    assert (await note_of(clinician, session_id, "CREATED"))["result"] == "".join(PIECES)


async def test_whoever_hangs_up_loses_nothing(town: Town, clinician: Clinician, writer: HesitantWriter) -> None:
    session_id = await a_visit(clinician)
    async with served(town, clinician) as http:
        async with http.stream("POST", f"/sessions/{session_id}/consult-note", json={}) as answer:
            await anext(answer.aiter_lines())
        writer.may_go_on.set()
        assert (await note_of(clinician, session_id, "CREATED"))["result"] == "".join(PIECES)


async def test_a_first_request_under_a_key_streams_and_its_repeat_after_a_hang_up_gets_all_of_it(
    town: Town, clinician: Clinician, writer: HesitantWriter
) -> None:
    session_id = await a_visit(clinician)
    path, key = f"/sessions/{session_id}/consult-note", {"Idempotency-Key": "once"}
    async with served(town, clinician) as http:
        async with http.stream("POST", path, json={}, headers=key) as answer:
            assert json.loads(await anext(answer.aiter_lines())) == {"data": PIECES[0]}
        writer.may_go_on.set()
        # On a busy machine a repeat may be told to come again.
        while (again := await http.post(path, json={}, headers=key)).status_code == 409:
            assert again.headers["retry-after"] == "1", again.text
    assert again.headers["Idempotent-Replayed"] == "true"
    assert [json.loads(line)["data"] for line in again.text.splitlines()] == list(PIECES)
    assert len(await clinician.core.notes.versions(clinician.organization.id, session_id)) == 1


async def test_what_breaks_in_the_middle_ends_the_stream_with_an_object_that_says_so(
    town: Town, clinician: Clinician, writer: HesitantWriter
) -> None:
    session_id = await a_visit(clinician)
    writer.breaks = True
    async with (
        served(town, clinician) as http,
        http.stream("POST", f"/sessions/{session_id}/consult-note", json={}) as answer,
    ):
        lines = answer.aiter_lines()
        assert json.loads(await anext(lines)) == {"data": PIECES[0]}
        writer.may_go_on.set()
        (last,) = [json.loads(line) async for line in lines]
    assert last["data"] == "" and last["error"]["type"] == "EngineError" and "again" in last["error"]["msg"]
    assert (await note_of(clinician, session_id, "FAILED"))["failure"] == last["error"]
    (version,) = await clinician.core.notes.versions(clinician.organization.id, session_id)
    assert version.pieces == () and version.content is None


async def test_a_transcript_on_its_way_is_waited_for_and_asking_again_joins_the_note_that_waits(
    town: Town, clinician: Clinician, writer: HesitantWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer.may_go_on.set()
    session_id = await clinician.session()
    path = f"/sessions/{session_id}"
    recording = ok(await clinician.post(f"{path}/restful-segment-transcription"))["recording_id"]
    monkeypatch.setattr(writing, "LONGEST_WAIT", 0.5)
    for _ in range(2):
        answer = await clinician.post(f"{path}/consult-note", {})
        assert refused(answer, 503)["type"] == "NotReadyError" and answer.headers["Retry-After"] == "5"
    (waiting,) = await clinician.core.notes.versions(clinician.organization.id, session_id)
    assert waiting.status is TextStatus.GENERATING
    monkeypatch.setattr(writing, "LONGEST_WAIT", PATIENCE)
    asking = asyncio.create_task(clinician.post(f"{path}/consult-note", {}))
    await clinician.core.audio.add_segment(
        clinician.user_as_actor, clinician.organization.id, session_id, recording, 0, chunks_of(tones(0, 1))
    )
    ok(await clinician.post(f"{path}/restful-segment-transcription/{recording}:finish"))
    answer = await asking
    assert [json.loads(line)["data"] for line in answer.text.splitlines()] == list(PIECES)
    assert len(await clinician.core.notes.versions(clinician.organization.id, session_id)) == 1
    document = ok(await clinician.post(f"{path}/documents", {"template_id": "eb5e3698a363be3746cc817f"}))
    assert document["content"] == "".join(PIECES)


async def test_a_stream_of_events_shows_that_it_lives_and_lines_never_hold_what_is_no_json(
    clinician: Clinician, writer: HesitantWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "QUIET", 0.1)
    session_id = await a_visit(clinician)
    note = await clinician.core.notes.request(clinician.user_as_actor, clinician.organization.id, session_id)
    read = partial(clinician.core.notes.get, clinician.organization.id, note.id)

    async def begins() -> None:
        """Nothing is to be traced here."""

    told = [each async for each in _until_alive(writing.read_along(read, begins), writer)]
    assert told[0] == PIECES[0] and "" in told and told[-1] == PIECES[1]
    scope = {"type": "http", "headers": []}
    for accept, alive in ((b"text/event-stream", 1), (b"*/*", 0)):
        request = httpx_request(scope, accept)
        answer = await streams.streamed(request, _each("a", "", "b"))
        body = b"".join([bytes(chunk) async for chunk in answer.body_iterator])  # type: ignore[arg-type]
        assert body.count(b": \n\n") == alive
        if not alive:
            assert [json.loads(line) for line in body.splitlines()] == [{"data": "a"}, {"data": "b"}]


def httpx_request(scope: dict[str, Any], accept: bytes) -> Any:
    from starlette.requests import Request

    return Request({**scope, "headers": [(b"accept", accept)]})


async def _each(*pieces: str) -> AsyncIterator[str]:
    for piece in pieces:
        yield piece


async def _until_alive(told: AsyncIterator[Any], writer: HesitantWriter) -> AsyncIterator[Any]:
    async for each in told:
        if each == "":
            writer.may_go_on.set()
        yield each
