"""Audit chains as rows."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import BigInteger, ColumnElement, Row, Select, bindparam, cast, func, insert, select, update
from sqlalchemy import text as literal_sql
from sqlalchemy.ext.asyncio import AsyncConnection

from osler.audit.model import Actor, ActorKind, AuditEntry, AuditEvent, ChainHead, Outcome
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of, inside
from osler.storage.repositories.insertion import insert_unless_there
from osler.storage.tables.audit import audit_entries, audit_heads

PAGE: Final = 1000
"""Rows that are in memory at once while entries are yielded."""

LAST: Final = 2**63 - 1
"""The largest sequence that a column holds."""

NO_NUMBER: Final = 0
"""Stands for the sequence of a row that has none: a column of SQLite takes whatever another hand puts there."""

MOST_STRAYS: Final = 100
"""Rows without a number that are shown of a chain; it is broken with one."""

_HEAD: Final = select(audit_heads).where(audit_heads.c.organization_id == bindparam("organization"))
_LOCKED_HEAD: Final = _HEAD.with_for_update()
_INSERT: Final = insert(audit_entries)
_UPDATE_HEAD: Final = (
    update(audit_heads)
    .where(audit_heads.c.organization_id == bindparam("organization"))
    .values(sequence=bindparam("new_sequence"), mac=bindparam("new_mac"), at=bindparam("new_at"))
)
# As it stands in the partial index: with a parameter in its place neither database would use that.
_OF_MANY: Final = literal_sql("audit_entries.action = 'encounters.disclosed'")
# From one organization to the next by the primary key; a plain DISTINCT would read every entry there is.
_ORGANIZATIONS: Final = literal_sql(
    "WITH RECURSIVE found(id) AS (SELECT min(organization_id) FROM audit_entries UNION ALL "
    "SELECT (SELECT min(organization_id) FROM audit_entries WHERE organization_id > found.id) "
    "FROM found WHERE found.id IS NOT NULL) SELECT id FROM found WHERE id IS NOT NULL"
)
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


class SqlAuditRepository:
    """The chains of all organizations. Nothing here changes or removes an entry."""

    async def lock_head(self, transaction: Transaction, organization_id: str) -> ChainHead | None:
        """Return the last link, held against other writers until the transaction ends; None for an empty chain."""
        held: ChainHead | None = inside(transaction).shared.get((audit_heads, organization_id))
        if held is not None:
            return held
        connection = connection_of(transaction)
        row = (await connection.execute(_LOCKED_HEAD, {"organization": organization_id})).one_or_none()
        if row is None:
            # A row to hold, so that of two first entries at once one waits for the other.
            empty = {"organization_id": organization_id, "sequence": 0, "mac": "", "at": _BEGINNING}
            await insert_unless_there(connection, audit_heads, empty)
            row = (await connection.execute(_LOCKED_HEAD, {"organization": organization_id})).one()
        head = inside(transaction).shared[audit_heads, organization_id] = _head(row)
        return head

    async def append(self, transaction: Transaction, entries: Sequence[AuditEntry], head: ChainHead) -> None:
        """Write the entries and make ``head`` the last link."""
        connection = connection_of(transaction)
        await connection.execute(_INSERT, [_columns(entry) for entry in entries])
        await connection.execute(
            _UPDATE_HEAD,
            {
                "organization": head.organization_id,
                "new_sequence": head.sequence,
                "new_mac": head.mac,
                "new_at": head.at,
            },
        )
        inside(transaction).shared[audit_heads, head.organization_id] = head

    async def head(self, transaction: Transaction, organization_id: str) -> ChainHead | None:
        """Return the last link, None for an empty chain or where another hand left none that can be read."""
        try:
            row = (await connection_of(transaction).execute(_HEAD, {"organization": organization_id})).one_or_none()
            return None if row is None else _head(row)
        except (ValueError, TypeError):
            return None

    async def entries(
        self,
        transaction: Transaction,
        organization_id: str,
        *,
        after: int = 0,
        since: datetime | None = None,
        action: str | None = None,
        encounter_id: str | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[AuditEntry]:
        """Yield entries by ascending sequence; ``after`` skips those up to that sequence.

        A row that holds no entry (another hand wrote it) is yielded as an event that its ``mac`` does not fit. Those
        that have not even a number come first, as :data:`NO_NUMBER`, where ``after`` lets one pass.
        """
        connection = connection_of(transaction)
        number = audit_entries.c.sequence
        remaining = limit
        if after < NO_NUMBER:
            for entry in await _without_number(connection, organization_id):
                yield entry
                remaining = None if remaining is None else remaining - 1
        numbered = _numbered(connection)
        query = _selection(organization_id, since, action, encounter_id).where(*numbered).order_by(number)
        whole = since is None and action is None and encounter_id is None
        while remaining is None or remaining > 0:
            size = PAGE if remaining is None else min(PAGE, remaining)
            until = min(after + size, LAST)
            # Of a whole chain a window of numbers: as long as PostgreSQL knows a table little, it would answer a limit
            # by sorting all that is left of the chain, for every page.
            page_query = query.where(number > after, number <= until) if whole else query.where(number > after)
            page = await _read(connection, page_query.limit(size), organization_id)
            for entry in page:
                yield entry
            remaining = None if remaining is None else remaining - len(page)
            if len(page) == size:
                after = page[-1].sequence
            elif not whole:
                return
            else:
                # The end, or a gap of whatever width.
                beyond = (audit_entries.c.organization_id == organization_id, number > until, *numbered)
                following = await connection.scalar(select(func.min(number)).where(*beyond))
                if following is None:
                    return
                after = following - 1

    async def listings(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> AsyncIterator[AuditEntry]:
        """Yield the entries that tell of many encounters at once, this one among them, by ascending sequence."""
        connection = connection_of(transaction)
        number = audit_entries.c.sequence
        query = (
            select(audit_entries)
            .where(
                audit_entries.c.organization_id == organization_id,
                _OF_MANY,
                audit_entries.c.subject["encounters"].as_string().contains(encounter_id, autoescape=True),
                *_numbered(connection),
            )
            .order_by(number)
            .limit(PAGE)
        )
        after = 0
        while True:
            page = await _read(connection, query.where(number > after), organization_id)
            for entry in page:
                # The database only looked for the letters.
                if encounter_id in entry.event.subject.get("encounters", "").split():
                    yield entry
            if len(page) < PAGE:
                return
            after = page[-1].sequence

    async def organizations(self, transaction: Transaction) -> tuple[str, ...]:
        """Return the ids of the organizations that have a chain, or only its entries, or only its head.

        What another hand put in the place of an id is shown by its digits, which no chain has.
        """
        connection = connection_of(transaction)
        with_entries = await connection.scalars(_ORGANIZATIONS)
        with_head = await connection.scalars(select(audit_heads.c.organization_id))
        found: set[Any] = {*with_entries, *with_head}
        return tuple(sorted(each.hex() if isinstance(each, bytes) else str(each) for each in found))

    async def newest(
        self,
        transaction: Transaction,
        organization_id: str,
        limit: int,
        *,
        before: int | None = None,
        since: datetime | None = None,
        action: str | None = None,
        encounter_id: str | None = None,
    ) -> tuple[AuditEntry, ...]:
        """Return the last ``limit`` entries, newest first; ``before`` skips those from that sequence on."""
        query = _selection(organization_id, since, action, encounter_id)
        if before is not None:
            query = query.where(audit_entries.c.sequence < before)
        query = query.order_by(audit_entries.c.sequence.desc()).limit(limit)
        return tuple(await _read(connection_of(transaction), query, organization_id))


def _selection(
    organization_id: str, since: datetime | None, action: str | None, encounter_id: str | None
) -> Select[Any]:
    query = select(audit_entries).where(audit_entries.c.organization_id == organization_id)
    if since is not None:
        query = query.where(audit_entries.c.at >= since)
    if action is not None:
        query = query.where(audit_entries.c.action == action)
    if encounter_id is not None:
        query = query.where(audit_entries.c.encounter_id == encounter_id)
    return query


def _numbered(connection: AsyncConnection) -> tuple[ColumnElement[bool], ...]:
    """Return what leaves out rows without a number; a column of PostgreSQL holds no other."""
    number = audit_entries.c.sequence
    return (number == cast(number, BigInteger),) if connection.dialect.name == "sqlite" else ()


async def _without_number(connection: AsyncConnection, organization_id: str) -> list[AuditEntry]:
    """Return the first rows of a chain that have no number, as what they are not."""
    strays = [~each for each in _numbered(connection)]
    if not strays:
        return []
    query = select(literal_sql("1")).select_from(audit_entries)
    query = query.where(audit_entries.c.organization_id == organization_id, *strays).limit(MOST_STRAYS)
    return [_unreadable(organization_id, NO_NUMBER, "") for _ in await connection.execute(query)]


async def _read(connection: AsyncConnection, query: Select[Any], organization_id: str) -> list[AuditEntry]:
    """Return the entries of a query; a row that holds none costs a second look at its page, row by row."""
    try:
        return [_entry(row) for row in await connection.execute(query)]
    except (ValueError, TypeError):
        pass
    entries = []
    # In the page's order, which the query gives to its numbers too.
    for sequence in (await connection.scalars(query.with_only_columns(audit_entries.c.sequence))).all():
        one = select(audit_entries).where(
            audit_entries.c.organization_id == organization_id, audit_entries.c.sequence == sequence
        )
        try:
            entries.append(_entry((await connection.execute(one)).one()))
        except (ValueError, TypeError):
            mac = await connection.scalar(one.with_only_columns(audit_entries.c.mac))
            number = sequence if isinstance(sequence, int) else NO_NUMBER
            entries.append(_unreadable(organization_id, number, mac if isinstance(mac, str) else ""))
    return entries


def _columns(entry: AuditEntry) -> dict[str, Any]:
    event = entry.event
    return {
        "organization_id": event.organization_id,
        "sequence": entry.sequence,
        "at": event.at,
        "actor_kind": event.actor.kind.value,
        "actor_id": event.actor.id,
        "origin": event.actor.origin,
        "action": event.action,
        "outcome": event.outcome.value,
        "encounter_id": event.subject.get("encounter"),
        "subject": dict(event.subject),
        "detail": dict(event.detail),
        "mac": entry.mac,
    }


def _entry(row: Row[Any]) -> AuditEntry:
    """Read a row. Raises ValueError or TypeError for one that was not written by :func:`_columns`."""
    # By position, in the order of the table's columns: a chain is read whole when it is verified.
    organization_id, sequence, at, kind, actor_id, origin, action, outcome, encounter_id, subject, detail, mac = tuple(
        row
    )
    _check_texts(subject)
    _check_texts(detail)
    # The column is a copy, for its index: an entry whose copy was changed is not the entry that was written.
    if encounter_id != subject.get("encounter"):
        raise ValueError("the encounter of an audit entry stands in it twice, and differs")
    for text in (actor_id, origin, action, mac):
        if not isinstance(text, str):
            raise TypeError("an audit entry holds something other than text")
    if not isinstance(sequence, int):
        raise TypeError("the number of an audit entry is none")
    actor = Actor(ActorKind(kind), actor_id, origin)
    return AuditEntry(sequence, AuditEvent(organization_id, actor, action, at, subject, Outcome(outcome), detail), mac)


def _check_texts(value: Any) -> None:
    if not isinstance(value, dict):
        raise TypeError("an audit entry holds something other than texts by name")
    for text in value.values():
        if not isinstance(text, str):
            raise TypeError("an audit entry holds something other than texts by name")


def _unreadable(organization_id: str, sequence: int, mac: str) -> AuditEntry:
    nobody = Actor(ActorKind.SYSTEM, "", "")
    return AuditEntry(sequence, AuditEvent(organization_id, nobody, "entry.unreadable", _BEGINNING), mac)


def _head(row: Row[Any]) -> ChainHead | None:
    if not isinstance(row.sequence, int) or not isinstance(row.mac, str):
        raise TypeError("the head of an audit chain holds something else")
    return ChainHead(row.organization_id, row.sequence, row.mac, row.at) if row.sequence else None
