"""The list: its order, its pages, its bounds in time, and how large a page can be."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import httpx
import pytest
from sqlalchemy import update

from osler.storage.database import connection_of
from osler.storage.tables.encounters import encounters
from tests.contract.public.contract import LIST, refused, success
from tests.contract.public.lab import Clinic, Lab

pytestmark = pytest.mark.anyio

FIRST_DAY = datetime(2026, 5, 1, tzinfo=UTC)
DAYS = 12


@dataclass
class Listing:
    """An organization of encounters of so many days, two of them at the same instant."""

    lab: Lab
    key: str
    by_day: list[tuple[datetime, str]]

    async def answer(self, **query: Any) -> httpx.Response:
        return await self.lab.get(LIST.path, self.key, params=query)

    async def page(self, **query: Any) -> dict[str, Any]:
        return success(LIST, await self.answer(**query))

    async def ids(self, **query: Any) -> list[str]:
        return [each["encounter_id"] for each in (await self.page(**query))["items"]]

    def between(self, start: datetime, end: datetime) -> list[str]:
        return [encounter_id for at, encounter_id in sorted(self.by_day) if start <= at < end]


@pytest.fixture(scope="module")
async def listing(anyio_backend: str, lab: Lab) -> AsyncIterator[Listing]:
    clinic: Clinic = await lab.clinic()
    by_day = []
    for day in range(DAYS):
        encounter_id = await clinic.begin()
        # The eighth is of the same instant as the seventh; all are as if they had been made on their days.
        at = FIRST_DAY + timedelta(days=day - (1 if day == 7 else 0))
        async with lab.core.database.write() as transaction:
            await connection_of(transaction).execute(
                update(encounters).where(encounters.c.id == encounter_id).values(created_at=at)
            )
        by_day.append((at, encounter_id))
    yield Listing(lab, await lab.key(clinic), by_day)


async def test_it_is_by_creation_and_then_by_id_newest_first_unless_asked(listing: Listing) -> None:
    upward = [encounter_id for _, encounter_id in sorted(listing.by_day)]
    assert await listing.ids(sort_order="asc") == upward
    assert await listing.ids(sort_order="desc") == upward[::-1]
    assert await listing.ids() == upward[::-1]


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("limit", [1, 5, 12, 100])
async def test_pages_show_each_encounter_once(listing: Listing, order: str, limit: int) -> None:
    seen: list[str] = []
    for offset in range(0, DAYS + limit, limit):
        page = await listing.page(limit=limit, offset=offset, sort_order=order)
        assert (page["limit"], page["offset"], page["total"]) == (limit, offset, DAYS)
        assert len(page["items"]) == max(0, min(limit, DAYS - offset))
        seen += [each["encounter_id"] for each in page["items"]]
    assert seen == await listing.ids(sort_order=order)


async def test_a_page_is_of_fifty_from_the_first_unless_asked_and_says_so(listing: Listing) -> None:
    page = await listing.page()
    assert (page["limit"], page["offset"]) == (50, 0)


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("limit", "1", None),
        ("limit", "100", None),
        ("limit", "0", "invalid_limit"),
        ("limit", "101", "invalid_limit"),
        ("offset", "0", None),
        ("offset", "10000", None),
        ("offset", "10001", "invalid_offset"),
    ],
)
async def test_its_bounds_are_the_contracts(listing: Listing, name: str, value: str, code: str | None) -> None:
    answer = await listing.answer(**{name: value})
    if code is None:
        assert success(LIST, answer)[name] == int(value)
    else:
        assert (answer.status_code, refused(answer)) == (422, code)


async def test_the_start_is_inside_and_the_end_is_not(listing: Listing) -> None:
    start, end = FIRST_DAY + timedelta(days=2), FIRST_DAY + timedelta(days=5)
    query = {"sort_order": "asc", "start_at": start.isoformat(), "end_at": end.isoformat()}
    assert await listing.ids(**query) == listing.between(start, end)
    assert len(listing.between(start, end)) == 3
    assert (await listing.page(**query))["total"] == 3
    a_moment = timedelta(microseconds=1)
    later = {**query, "start_at": (start + a_moment).isoformat(), "end_at": (end + a_moment).isoformat()}
    assert await listing.ids(**later) == listing.between(start + a_moment, end + a_moment)
    assert await listing.ids(start_at=end.isoformat()) == listing.between(end, datetime.max.replace(tzinfo=UTC))[::-1]
    assert await listing.ids(end_at=start.isoformat()) == listing.between(FIRST_DAY, start)[::-1]


async def test_a_time_can_be_told_in_any_zone(listing: Listing) -> None:
    start = FIRST_DAY + timedelta(days=9)
    expected = await listing.ids(start_at=start.isoformat())
    assert len(expected) == 3
    for hours in (-11, 5.5, 14):
        there = start.astimezone(timezone(timedelta(hours=hours)))
        assert await listing.ids(start_at=there.isoformat()) == expected
    assert await listing.ids(start_at=start.strftime("%Y-%m-%dT%H:%M:%SZ")) == expected
    assert await listing.ids(start_at=start.strftime("%Y-%m-%dt%H:%M:%S.000z")) == expected


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2026-05-02T00:00:00Z", "2026-05-02T00:00:00Z"),
        ("2026-05-03T00:00:00Z", "2026-05-02T00:00:00Z"),
        ("2026-05-02T00:00:00Z", "2026-05-02T01:00:00+01:00"),
    ],
)
async def test_a_start_that_is_not_before_the_end_is_an_invalid_query(listing: Listing, start: str, end: str) -> None:
    answer = await listing.answer(start_at=start, end_at=end)
    assert (answer.status_code, refused(answer)) == (422, "invalid_query")
    assert answer.json()["field"] in ("start_at", "end_at")
    # Each of the two is good by itself, and an earlier check still comes first.
    assert refused(await listing.answer(start_at=start, end_at=end, limit="0")) == "invalid_limit"
    assert refused(await listing.answer(owners="x", start_at=start, end_at=end)) == "invalid_query"


@pytest.mark.parametrize(
    "edge", ["0001-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z", "9999-12-31T23:59:59-12:00"]
)
async def test_times_at_the_edge_of_what_can_be_said_are_no_failure(listing: Listing, edge: str) -> None:
    for name in ("start_at", "end_at"):
        answer = await listing.answer(**{name: edge})
        assert answer.status_code in (200, 422)
        if answer.status_code == 422:
            assert refused(answer) == "invalid_query"
        else:
            assert success(LIST, answer)["total"] in (0, DAYS)


async def test_the_largest_page_of_the_largest_encounters_is_whole(lab: Lab, clinic: Clinic, key: str) -> None:
    made = [await clinic.begin() for _ in range(101)]
    first = success(LIST, await lab.get(LIST.path, key, params={"limit": 100, "sort_order": "asc"}))
    second = success(LIST, await lab.get(LIST.path, key, params={"limit": 100, "offset": 100, "sort_order": "asc"}))
    assert [each["encounter_id"] for each in (*first["items"], *second["items"])] == made
    assert first["total"] == second["total"] == 101
