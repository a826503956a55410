"""``Idempotency-Key``: what is sent twice is done once, and answered the same."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import func, select

from osler.access.idempotency import Answer, Attempt, IdempotencyService, KeptRequest, RequestKey, StillRunningError
from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureReason, ErasureScope
from osler.storage.database import connection_of
from osler.storage.repositories.idempotency import SqlIdempotencyRepository
from osler.storage.repositories.sealed import SealedRows
from osler.storage.tables.encounters import encounters
from osler.storage.tables.idempotency import idempotent_requests
from osler.storage.tables.sealing import object_keys
from tests.access_lab import HandClock
from tests.scribe_lab import Door, opened_door

pytestmark = pytest.mark.anyio

SECRET = "Zebulon Quillfeather"


@pytest.fixture
async def door(anyio_backend: str, tmp_path: Path, database_url: str) -> AsyncIterator[Door]:
    async with opened_door(tmp_path, database_url) as door:
        await door.sign_in()
        yield door


async def count_of(door: Door, table: Any) -> int:
    async with door.core.database.read() as transaction:
        found = await connection_of(transaction).execute(select(func.count()).select_from(table))
        return int(found.scalar_one())


def service_of(door: Door, clock: HandClock) -> IdempotencyService:
    """Return the service as another process would have it, with a clock of its own."""
    rows = SealedRows(door.core.keyring, clock)
    repository = SqlIdempotencyRepository(rows, door.core.secret)
    return IdempotencyService(database=door.core.database, repository=repository, clock=clock)


async def test_a_repeat_gets_the_first_answer_and_makes_nothing(door: Door) -> None:
    first = await door.post("/sessions", {"ehr_appointment_id": "a"}, key="visit-1")
    again = await door.post("/sessions", {"ehr_appointment_id": "a"}, key="visit-1")
    assert first.status_code == again.status_code == 200 and first.json() == again.json()
    assert first.content == again.content and first.headers["content-type"] == again.headers["content-type"]
    assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
    assert first.headers["x-request-id"] != again.headers["x-request-id"]
    assert await count_of(door, encounters) == 1


async def test_the_order_of_keys_and_white_space_are_no_other_body(door: Door) -> None:
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    one = await door.http.post("/sessions", content=b'{"a": 1, "ehr_appointment_id": "x"}', headers=headers)
    other = await door.http.post("/sessions", content=b'{"ehr_appointment_id":"x","a":1}', headers=headers)
    assert one.json() == other.json()


async def test_another_body_under_the_same_key_is_refused_and_changes_nothing(door: Door) -> None:
    await door.post("/sessions", {"ehr_appointment_id": "a"}, key="visit-1")
    other = await door.post("/sessions", {"ehr_appointment_id": "b"}, key="visit-1")
    assert other.status_code == 409 and other.json()["detail"]["type"] == "IdempotencyKeyReusedError"
    assert await count_of(door, encounters) == 1


async def test_a_key_belongs_to_one_user_and_one_path(door: Door) -> None:
    first = await door.post("/sessions", {}, key="k")
    profile = await door.post("/patient-profiles", {"first_name": "Ada"}, key="k")
    assert profile.status_code == 200
    other_user = {"Authorization": f"Bearer {await door.token('b@clinic.example', '8')}", "Idempotency-Key": "k"}
    second = await door.http.post("/sessions", json={}, headers=other_user)
    stranger = await door.token(key=await door.another_tenant())
    third = await door.http.post(
        "/sessions", json={}, headers={"Authorization": f"Bearer {stranger}", "Idempotency-Key": "k"}
    )
    assert len({answer.json()["session_id"] for answer in (first, second, third)}) == 3


async def test_a_refusal_is_given_again_too(door: Door) -> None:
    for _ in range(2):
        answer = await door.post("/sessions", {"patient_profile_id": "0" * 24}, key="k")
        assert answer.status_code == 404
    assert answer.headers["idempotent-replayed"] == "true"


async def test_twenty_at_once_are_done_once(door: Door) -> None:
    async def sent() -> httpx.Response:
        """Send it as a client does: again if it is told to come again."""
        while (answer := await door.post("/sessions", {"n": 1}, key="k")).status_code == 409:
            assert answer.headers["retry-after"] == "1", answer.text
        return answer

    answers = await asyncio.gather(*(sent() for _ in range(20)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["session_id"] for answer in answers}) == 1
    assert await count_of(door, encounters) == 1


@pytest.mark.parametrize("key", [b"", b" ", b"x" * 256, "ü".encode(), b"a\tb"])
async def test_what_is_no_key_is_refused(door: Door, key: bytes) -> None:
    answer = await door.http.post("/sessions", json={}, headers={b"Idempotency-Key": key})
    assert answer.status_code == 422 and answer.json()["detail"]["field"] == "Idempotency-Key"
    assert await count_of(door, encounters) == 0


def letter(text: bytes, boundary: str) -> dict[str, Any]:
    lines = [
        f"--{boundary}",
        'Content-Disposition: form-data; name="file"; filename="letter.txt"',
        "Content-Type: text/plain",
        "",
        text.decode(),
        f"--{boundary}--",
        "",
    ]
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}", "Idempotency-Key": "k"}
    return {"content": "\r\n".join(lines).encode(), "headers": headers}


async def test_of_an_upload_the_content_counts_and_not_the_boundary(door: Door) -> None:
    session = (await door.post("/sessions", {})).json()["session_id"]
    path = f"/sessions/{session}/context-documents"
    first = await door.http.post(path, **letter(b"Dear colleague", "one"))
    again = await door.http.post(path, **letter(b"Dear colleague", "two"))
    other = await door.http.post(path, **letter(b"Dear colleagues", "one"))
    assert first.status_code == 200, first.text
    assert again.json() == first.json() and again.headers["idempotent-replayed"] == "true"
    assert other.status_code == 409
    assert len((await door.http.get(path)).json()["data"]) == 1


async def test_nothing_of_an_answer_or_of_a_key_is_readable_in_the_database(
    door: Door, database_url: str, tmp_path: Path
) -> None:
    answer = await door.post("/patient-profiles", {"first_name": SECRET}, key=f"profile of {SECRET}")
    assert SECRET in answer.text
    async with door.core.database.read() as transaction:
        row = (await connection_of(transaction).execute(select(idempotent_requests))).one()
    assert not any(SECRET.encode() in value for value in row if isinstance(value, bytes))
    assert not any(SECRET in value for value in row if isinstance(value, str))


async def kept_answers(door: Door) -> int:
    async with door.core.database.read() as transaction:
        query = select(func.count()).where(idempotent_requests.c.sealed.is_not(None))
        return int((await connection_of(transaction).execute(query)).scalar_one())


async def test_no_repeat_brings_back_a_profile_that_was_deleted(door: Door, database_url: str) -> None:
    profile = (await door.post("/patient-profiles", {"first_name": SECRET}, key="p")).json()["id"]
    other = (await door.post("/patient-profiles", {"first_name": "Ada"}, key="q")).json()["id"]
    await door.post("/patient-profiles:batch-delete", {"patient_profile_ids": [profile]})
    again = await door.post("/patient-profiles", {"first_name": SECRET}, key="p")
    assert again.status_code == 409 and again.json()["detail"]["type"] == "IdempotencyAnswerLostError"
    assert SECRET not in again.text
    assert (await door.post("/patient-profiles", {"first_name": "Ada"}, key="q")).json()["id"] == other
    assert await kept_answers(door) == 1


async def test_no_repeat_brings_back_a_document_that_was_deleted_or_a_session_that_was_erased(door: Door) -> None:
    session = (await door.post("/sessions", {}, key="s")).json()["session_id"]
    path = f"/sessions/{session}/context-documents"
    document = (await door.http.post(path, **letter(SECRET.encode(), "one"))).json()["id"]
    assert await kept_answers(door) == 2
    assert (await door.http.delete(f"{path}?ids={document}")).status_code == 204
    again = await door.http.post(path, **letter(SECRET.encode(), "one"))
    assert again.status_code == 409 and again.json()["detail"]["type"] == "IdempotencyAnswerLostError"
    assert await kept_answers(door) == 1
    await door.core.erasure.erase(
        OPERATOR, door.organization_id, session, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    assert await kept_answers(door) == 0
    assert (await door.post("/sessions", {}, key="s")).status_code == 409


async def test_an_answer_about_what_is_deleted_while_it_is_on_its_way_is_not_kept(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = IdempotencyService.finish

    async def deleted_before(service: IdempotencyService, attempt: Attempt, *rest: Any) -> None:
        if b"first_name" in rest[1].body:
            profile = json.loads(rest[1].body)["id"]
            await door.core.profiles.delete_many(OPERATOR, door.organization_id, [profile])
        await finish(service, attempt, *rest)

    monkeypatch.setattr(IdempotencyService, "finish", deleted_before)
    assert (await door.post("/patient-profiles", {"first_name": SECRET}, key="p")).status_code == 200
    assert await kept_answers(door) == 0
    again = await door.post("/patient-profiles", {"first_name": SECRET}, key="p")
    assert again.status_code == 409 and SECRET not in again.text


async def test_after_a_day_a_key_is_free_and_nothing_of_it_is_left(door: Door) -> None:
    await door.post("/sessions", {"n": 1}, key="k")
    keys = await count_of(door, object_keys)
    now = door.core.clock.now()
    assert await door.core.idempotency.purge(now + timedelta(hours=23)) == 0
    assert await door.core.idempotency.purge(now + timedelta(hours=25)) == 1
    assert await count_of(door, idempotent_requests) == 0
    assert await count_of(door, object_keys) == keys - 1
    assert (await door.post("/sessions", {"n": 2}, key="k")).status_code == 200


async def test_an_old_request_that_was_not_purged_yet_is_begun_anew(door: Door) -> None:
    clock = HandClock()
    service, key = service_of(door, clock), await key_of(door)
    first = await service.begin(key)
    assert isinstance(first, Attempt)
    await service.finish(first, b"d" * 32, Answer(200, {}, b"first"))
    kept = await service.begin(key)
    assert isinstance(kept, KeptRequest) and kept.answer == Answer(200, {}, b"first")
    clock.go_on(timedelta(hours=24))
    second = await service.begin(key)
    assert isinstance(second, Attempt)
    await service.finish(second, b"e" * 32, Answer(201, {}, b"second"))
    kept = await service.begin(key)
    assert isinstance(kept, KeptRequest) and kept.answer == Answer(201, {}, b"second")


async def key_of(door: Door) -> RequestKey:
    user = (await door.core.access.users(door.organization_id))[0]
    return RequestKey(door.organization_id, user.id, "POST /somewhere", "k")


async def test_a_repeat_waits_for_the_first_and_is_told_to_come_again_if_that_takes_long(door: Door) -> None:
    service, key = service_of(door, HandClock()), await key_of(door)
    attempt = await service.begin(key)
    assert isinstance(attempt, Attempt)
    with pytest.raises(StillRunningError):
        await service.begin(key, wait=0.2)

    async def answered() -> None:
        await asyncio.sleep(0.3)
        await service.finish(attempt, b"d" * 32, Answer(200, {}, b"x"))

    task = asyncio.create_task(answered())
    kept = await service.begin(key, wait=60)
    await task
    assert isinstance(kept, KeptRequest) and kept.answer is not None


async def test_a_failure_that_changed_nothing_leaves_the_key_free(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken:

        async def fails(*_: Any, **__: Any) -> None:
            raise RuntimeError(SECRET)

        broken.setattr(type(door.core.encounters), "create", fails)
        answer = await door.post("/sessions", {"n": 1}, key="k")
        assert answer.status_code == 500 and SECRET not in answer.text
        assert answer.json().keys() == {"detail"}
    again = await door.post("/sessions", {"n": 1}, key="k")
    assert again.status_code == 200 and "idempotent-replayed" not in again.headers


async def test_a_failure_after_the_change_is_never_done_again(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    create: Callable[..., Awaitable[Any]] = type(door.core.encounters).create
    with monkeypatch.context() as broken:

        async def fails_late(*arguments: Any, **fields: Any) -> None:
            await create(*arguments, **fields)
            raise RuntimeError

        broken.setattr(type(door.core.encounters), "create", fails_late)
        assert (await door.post("/sessions", {"n": 1}, key="k")).status_code == 500
    again = await door.post("/sessions", {"n": 1}, key="k")
    assert again.status_code == 409 and again.json()["detail"]["type"] == "IdempotencyAnswerLostError"
    assert await count_of(door, encounters) == 1


KILLED = """
    import asyncio, os, signal, sys
    from pathlib import Path
    import httpx
    from osler.access.idempotency import IdempotencyService
    from osler.encounters.service import EncounterService
    from osler.bootstrap import open_core
    from osler.api.app import create_app
    from osler.config import Settings

    url, folder, where, token = sys.argv[1:]

    def die(*_, **__):
        os.kill(os.getpid(), signal.SIGKILL)

    create = EncounterService.create

    async def create_and_die(*arguments, **fields):
        await create(*arguments, **fields)
        die()

    if where == "before":
        EncounterService.create = die
    elif where == "between":
        EncounterService.create = create_and_die
    else:
        finish = IdempotencyService.finish

        async def finish_and_die(*arguments):
            await finish(*arguments)
            die()

        IdempotencyService.finish = finish_and_die

    async def main():
        async with open_core(Settings(data=Path(folder), database=url), engine="closed") as core:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(core)), base_url="http://osler") as c:
                headers = {"Authorization": "Bearer " + token, "Idempotency-Key": "k"}
                await c.post("/api/v2/ml-scribe/open-api/sessions", json={"n": 1}, headers=headers)

    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("where", "sessions_left", "sessions_after"), [("before", 0, 1), ("between", 1, 1), ("after", 1, 1)]
)
async def test_a_killed_process_leaves_nothing_to_be_done_twice(
    door: Door, tmp_path: Path, database_url: str, where: str, sessions_left: int, sessions_after: int
) -> None:
    token = door.http.headers["Authorization"].removeprefix("Bearer ")
    command = [sys.executable, "-c", textwrap.dedent(KILLED), database_url, str(tmp_path / "data"), where, token]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OSLER_")}
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, timeout=120, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert await count_of(door, encounters) == sessions_left

    answer = await repeated_after_the_lease(door)
    assert await count_of(door, encounters) == sessions_after
    if where == "between":
        assert answer.status_code == 409 and answer.json()["detail"]["type"] == "IdempotencyAnswerLostError"
    else:
        assert answer.status_code == 200
        assert ("idempotent-replayed" in answer.headers) is (where == "after")


async def repeated_after_the_lease(door: Door) -> httpx.Response:
    """Repeat the request as if the lease of whoever died had run out."""
    async with door.core.database.write() as transaction:
        past = door.core.clock.now() - timedelta(seconds=1)
        await connection_of(transaction).execute(idempotent_requests.update().values(lease_until=past))
    return await door.post("/sessions", {"n": 1}, key="k")
