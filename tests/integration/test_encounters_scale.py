"""Ten thousand encounters: a page is as little work as with a hundred."""

import contextlib
import json
import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, insert, text
from sqlalchemy.engine import Engine

from osler.encounters.model import EncounterFilter
from osler.kernel.ids import new_encounter_id
from osler.kernel.pages import Position
from osler.storage.database import SqlDatabase
from osler.storage.database_url import SqliteLocation
from osler.storage.sealing.fields import field_context, seal
from osler.storage.tables.encounters import encounters
from osler.storage.tables.sealing import object_keys
from tests.encounters_lab import MARKER, NOON, EncountersLab

pytestmark = pytest.mark.anyio

FEW, MANY = 100, 10_000


@pytest.fixture
async def lab(database: SqlDatabase, tmp_path: Path) -> EncountersLab:
    return await EncountersLab.open(database, tmp_path)


async def filled(lab: EncountersLab, count: int) -> tuple[str, str]:
    """Return an organization and its user with ``count`` encounters, sealed, of which every tenth is erased."""
    organization = await lab.organization()
    user = await lab.user(organization)
    keys, rows = [], []
    content = json.dumps({"name": MARKER, "clinician_notes": [MARKER]}).encode()
    for n in range(count):
        key, opened = lab.ring.new_object_key()
        keys.append({"id": key.id, "wrapped": key.wrapped, "master": key.master, "created_at": NOON})
        encounter_id = new_encounter_id()
        rows.append(
            {
                "id": encounter_id,
                "organization_id": organization.id,
                "owner_id": user.id,
                "created_at": NOON - timedelta(minutes=n),
                "updated_at": NOON,
                "state": "erased" if n % 10 == 0 else "open",
                "purpose": "care",
                "key_id": key.id,
                "sealed": seal(opened, content, field_context("encounters", encounter_id, "sealed", organization.id)),
                "ehr_patient_index": lab.secret.blind_index(organization.id, "ehr_patient_id", f"P-{n}"),
                "generate_output_without_recording": False,
                "linked_encounter_ids": [],
                "revision": 1,
            }
        )
    async with lab.database.write() as transaction:
        await transaction.connection.execute(insert(object_keys), keys)
        await transaction.connection.execute(insert(encounters), rows)
    if not lab.database.is_sqlite:
        # A server does this by itself after a minute; SQLite has no statistics, and must do without.
        async with lab.database.without_transaction() as connection:
            await connection.execute(text("ANALYZE"))
    return organization.id, user.id


async def work_of(database: SqlDatabase, call: Callable[[], Awaitable[object]]) -> int:
    """Return what the database does for a call: instructions of SQLite's machine, or rows through PostgreSQL's plans.

    What it takes in seconds depends on what else the machine does.
    """
    statements: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        statements.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", note)
    try:
        await call()
    finally:
        event.remove(Engine, "before_cursor_execute", note)
    selected = [(statement, parameters) for statement, parameters in statements if "SELECT" in statement]
    assert selected
    if isinstance(database.location, SqliteLocation):
        return instructions(database.location.path, selected)
    rows = 0
    async with database.read() as transaction:
        for statement, parameters in selected:
            explained = f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}"
            plan = (await transaction.connection.exec_driver_sql(explained, parameters)).scalar_one()
            rows += rows_through((json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"])
    return rows


def instructions(path: Path, statements: Sequence[tuple[str, Any]]) -> int:
    count = 0

    def step() -> int:
        nonlocal count
        count += 1
        return 0

    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.set_progress_handler(step, 1)
        for statement, parameters in statements:
            connection.execute(statement, parameters).fetchall()
    return count


def rows_through(plan: dict[str, Any]) -> int:
    """Return how many rows the nodes of a plan gave on or looked at in vain."""
    removed: int = sum(value for name, value in plan.items() if name.startswith("Rows Removed by"))
    below = sum(rows_through(each) for each in plan.get("Plans", ()))
    return int((plan["Actual Rows"] + removed) * plan["Actual Loops"]) + below


async def test_a_page_takes_no_more_work_among_ten_thousand_than_among_a_hundred(lab: EncountersLab) -> None:
    calls: dict[str, list[Callable[[], Awaitable[object]]]] = {}
    for count in (FEW, MANY):
        organization_id, user_id = await filled(lab, count)
        of_one = EncounterFilter(ehr_patient_id="P-57")
        page = partial(lab.encounters.list, organization_id, user_id=user_id)
        for name, call in {
            "newest": page,
            "newest of all": partial(lab.encounters.list, organization_id),
            "oldest": partial(page, newest_first=False),
            "following": partial(page, after=Position(NOON - timedelta(minutes=count // 3), "")),
            "of a patient": partial(page, wanted=of_one),
        }.items():
            calls.setdefault(name, []).append(call)
        newest = await page()
        assert len(newest.items) == 50
        assert newest.items[0].name == MARKER
        assert len((await page(of_one)).items) == 1
        assert await lab.encounters.count(organization_id, user_id=user_id) == count - count // 10
    for name, (among_few, among_many) in calls.items():
        few, many = await work_of(lab.database, among_few), await work_of(lab.database, among_many)
        print(name, few, many)
        assert many <= 2 * few, name
