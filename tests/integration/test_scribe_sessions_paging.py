"""The list of the linked user's sessions: page by page, while sessions go on being made."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import update

from osler.access.model import Visibility
from osler.audit.model import OPERATOR
from osler.encounters.model import ErasureReason, ErasureScope
from osler.storage.database import connection_of
from osler.storage.tables.encounters import encounters
from osler.storage.tables.notes import notes
from tests.scribe_practice import Clinician, Town, ok, refused
from tests.scribe_practice import shared_town as shared_town

pytestmark = pytest.mark.anyio

LIST = "/sessions/linked-user"


@pytest.fixture
async def clinician(shared_town: Town) -> Clinician:
    """A clinician with a linked account."""
    clinician = await shared_town.clinician()
    await clinician.link(f"account of {clinician.user.id}")
    return clinician


async def pages(clinician: Clinician, page_size: int) -> AsyncIterator[dict[str, Any]]:
    """Go through the list as a client does."""
    query: dict[str, Any] = {"page_size": page_size}
    while True:
        page = ok(await clinician.get(LIST, **query))
        yield page
        if not page["has_next_page"]:
            return
        query["page"] = page["next_page"]


async def test_a_page_serves_both_readers(clinician: Clinician) -> None:
    made = [await clinician.session() for _ in range(5)]
    ok(await clinician.patch(f"/sessions/{made[0]}", {"consult_note": {"result": "Well."}, "duration": 60}))
    found = [page async for page in pages(clinician, 2)]
    assert [[each["session_id"] for each in page["sessions"]] for page in found] == [
        made[:2:-1], made[2:0:-1], [made[0]]
    ]  # fmt: skip
    for number, page in enumerate(found):
        last = number == len(found) - 1
        assert page["count"] == len(page["sessions"]) and page["total_count"] == 5
        assert page["has_next_page"] is page["has_next"] is not last
        assert (page["next_page"] is None) is last and page["has_previous"] is (number > 0)
        for told, shown in zip(page["sessions"], page["data"], strict=True):
            one = ok(await clinician.get(f"/sessions/{told['session_id']}"))
            assert one == {"session": told, **shown}
    assert found[2]["data"][0]["consult_note"]["result"] == "Well."


async def test_nothing_is_skipped_or_doubled_while_sessions_are_made(clinician: Clinician) -> None:
    before = [await clinician.session() for _ in range(23)]
    stop = asyncio.Event()

    async def go_on_making() -> int:
        made = 0
        while not stop.is_set():
            await clinician.session()
            made += 1
        return made

    making = [asyncio.create_task(go_on_making()) for _ in range(3)]
    seen = []
    async for page in pages(clinician, 4):
        seen += [each["session_id"] for each in page["sessions"]]
        await asyncio.sleep(0.02)
    stop.set()
    assert sum(await asyncio.gather(*making)) > 0
    assert len(seen) == len(set(seen))
    assert [session_id for session_id in seen if session_id in set(before)] == before[::-1]


async def test_pages_can_be_asked_for_by_number(clinician: Clinician) -> None:
    made = [await clinician.session() for _ in range(5)]
    found = []
    for number in ("1", "2", "3"):
        page = ok(await clinician.get(LIST, page_size=2, page=number))
        assert page["has_previous"] is (number != "1") and page["total_count"] == 5
        found += [each["session_id"] for each in page["sessions"]]
    assert found == made[::-1]
    beyond = ok(await clinician.get(LIST, page_size=2, page="9"))
    assert beyond["sessions"] == beyond["data"] == [] and beyond["has_next"] is False


@pytest.mark.parametrize("page_size", ["0", "201", "-1", "two", "1.5", "", "9" * 30])
async def test_a_page_size_is_from_1_to_200(clinician: Clinician, page_size: str) -> None:
    refused(await clinician.get(LIST, page_size=page_size), 422, field="page_size")


@pytest.mark.parametrize("page", ["0", "-1", "x", "MTIz", "é", "9" * 30, "A" * 201, "' OR 1=1 --", "\0"])
async def test_a_page_that_there_cannot_be_is_refused(clinician: Clinician, page: str) -> None:
    refused(await clinician.get(LIST, page=page), 422, field="page")


async def test_the_largest_page_is_one_page(clinician: Clinician) -> None:
    await clinician.session()
    assert ok(await clinician.get(LIST, page_size=200))["count"] == 1


async def test_without_a_linked_account_there_is_no_list(shared_town: Town) -> None:
    clinician = await shared_town.clinician()
    expected = {"msg": "error: no linked user", "type": "NoLinkedUserException"}
    assert refused(await clinician.get(LIST), 400) == expected
    await clinician.link()
    assert ok(await clinician.get(LIST))["sessions"] == []
    await clinician.call("DELETE", "/users/linked-account:unlink")
    assert refused(await clinician.get(LIST), 400) == expected


async def test_the_list_holds_the_users_own_sessions_and_no_erased_ones(shared_town: Town) -> None:
    practice = await shared_town.practice(visibility=Visibility.TENANT)
    clinician, colleague = await shared_town.clinician(practice), await shared_town.clinician(practice, "colleague")
    await clinician.link("account of the practice")
    own, erased = await clinician.session(), await clinician.session()
    await colleague.session()
    await shared_town.core.erasure.erase(
        OPERATOR, clinician.organization.id, erased, scope=ErasureScope.EVERYTHING, reason=ErasureReason.COMMAND
    )
    page = ok(await clinician.get(LIST))
    assert [each["session_id"] for each in page["sessions"]] == [own] and page["total_count"] == 1


async def test_every_session_that_a_list_showed_is_on_record(clinician: Clinician) -> None:
    made = {await clinician.session() for _ in range(3)}
    await clinician.get(LIST)
    traces = await clinician.traces("encounter.read")
    assert {trace["encounter"] for trace in traces} == made and {trace["by"] for trace in traces} == {"list"}


@pytest.mark.parametrize("what", ["the session", "its note"])
async def test_a_damaged_session_is_named_and_hides_none_of_the_others(clinician: Clinician, what: str) -> None:
    made = [await clinician.session() for _ in range(3)]
    ok(await clinician.patch(f"/sessions/{made[1]}", {"consult_note": {"result": "Well."}}))
    table = encounters if what == "the session" else notes
    column = table.c.id if what == "the session" else table.c.encounter_id
    async with clinician.core.database.write() as transaction:
        damaged = update(table).where(column == made[1]).values(sealed=b"\x01" + bytes(60))
        await connection_of(transaction).execute(damaged)
    page = ok(await clinician.get(LIST))
    assert [each["session_id"] for each in page["sessions"]] == [made[2], made[0]]
    assert page["damaged_sessions"] == [made[1]] and page["total_count"] == 3
    assert "damaged_sessions" not in ok(await clinician.get(LIST, page_size=1))
