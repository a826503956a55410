"""Requests that carry a key of their own as rows; the answers sealed."""

import base64
import hmac
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update

from osler.access.idempotency import Answer, KeptRequest, RequestKey
from osler.kernel.errors import ConflictError
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of
from osler.storage.repositories.insertion import insert_unless_there
from osler.storage.repositories.sealed import BlindIndex, SealedRows
from osler.storage.tables.encounters import context_documents, encounters, patient_profiles
from osler.storage.tables.erasures import erasures
from osler.storage.tables.idempotency import idempotent_requests as requests
from osler.storage.tables.idempotency import idempotent_subjects as subjects
from osler.storage.tables.sealing import object_keys

_SELECT: Final = select(requests, object_keys.c.wrapped, object_keys.c.master).outerjoin(
    object_keys, object_keys.c.id == requests.c.key_id
)


class SqlIdempotencyRepository:
    """Implements :class:`osler.access.ports.IdempotencyRepository`."""

    def __init__(self, rows: SealedRows, index: BlindIndex) -> None:
        self._rows = rows
        self._index = index

    def named(self, key: RequestKey, claim: str, now: datetime, lease_until: datetime) -> KeptRequest:
        """Return a request that is to be worked on, with the id that its key always has."""
        # Hexadecimal, as a blind index disregards case, which matters in keys.
        name = "\0".join((key.user_id, key.route, key.key)).encode().hex()
        return KeptRequest(
            id=self._index.blind_index(key.organization_id, "request.key", name).hex(),
            organization_id=key.organization_id,
            user_id=key.user_id,
            encounter_id=key.encounter_id,
            claim=claim,
            begun_at=now,
            lease_until=lease_until,
        )

    def is_digest(self, kept: KeptRequest, digest: bytes) -> bool:
        """Say whether the kept body had this digest."""
        return kept.digest is not None and hmac.compare_digest(kept.digest, self._keyed(kept, digest))

    async def add_or_lock(self, transaction: Transaction, request: KeptRequest) -> KeptRequest | None:
        """Write a new request; return the one that stands already instead, held against other writers."""
        values = {"id": request.id, "organization_id": request.organization_id, "user_id": request.user_id}
        connection = connection_of(transaction)
        while True:
            if await insert_unless_there(connection, requests, {**values, **_begun(request)}):
                return None
            query = _SELECT.where(requests.c.id == request.id).with_for_update(of=requests)
            row = (await connection.execute(query)).one_or_none()
            if row is not None:  # else it was purged between the two
                return self._request(row)

    async def replace(self, transaction: Transaction, request: KeptRequest) -> None:
        """Begin anew in the place of a request that was held."""
        await self._forget_answer(transaction, request)
        await connection_of(transaction).execute(
            update(requests).where(requests.c.id == request.id).values(_begun(request))
        )

    async def renew(self, transaction: Transaction, request: KeptRequest, lease_until: datetime) -> None:
        """Prolong the lease, while the claim is still the same."""
        await connection_of(transaction).execute(
            update(requests)
            .where(requests.c.id == request.id, requests.c.claim == request.claim)
            .values(lease_until=lease_until)
        )

    async def mark_effect(self, transaction: Transaction, request: KeptRequest) -> None:
        """Note that the work took effect. Raises ConflictError if the claim is another's by now."""
        done = await connection_of(transaction).execute(
            update(requests)
            .where(requests.c.id == request.id, requests.c.claim == request.claim)
            .values(took_effect=True)
        )
        if done.rowcount != 1:
            raise ConflictError("Another request with this Idempotency-Key took this one's place")

    async def keep(self, transaction: Transaction, request: KeptRequest) -> None:
        """Write digest and answer, while the claim is still the same; no answer that tells of what was erased."""
        assert request.answer is not None and request.digest is not None
        connection = connection_of(transaction)
        # Before the request itself, as an erasure takes them in that order.
        told, is_erased = await self._hold_subjects(transaction, request)
        mine = (requests.c.id == request.id, requests.c.claim == request.claim)
        held = select(requests.c.id).where(*mine).with_for_update()
        if (await connection.execute(held)).one_or_none() is None:
            return
        digest = self._keyed(request, request.digest)
        if is_erased:
            lost = {"digest": digest, "took_effect": True, "lease_until": request.begun_at}
            await connection.execute(update(requests).where(*mine).values(lost))
            return
        content = {
            "status": request.answer.status,
            "headers": dict(request.answer.headers),
            "body": base64.b64encode(request.answer.body).decode(),
        }
        sealed = await self._rows.add(transaction, request.organization_id, requests, request.id, content)
        await connection.execute(update(requests).where(*mine).values(digest=digest, **sealed))
        if told:
            named = {"request_id": request.id, "organization_id": request.organization_id}
            await connection.execute(insert(subjects), [{**named, "subject_id": each} for each in told])

    async def _hold_subjects(self, transaction: Transaction, request: KeptRequest) -> tuple[list[str], bool]:
        """Return which of the request's subjects are there, held against erasure, and whether one was erased."""
        if not request.subjects:
            return [], False
        connection = connection_of(transaction)
        named = sorted(set(request.subjects))
        there: list[str] = []
        for table in (patient_profiles, encounters, context_documents):
            query = select(table.c.id).where(table.c.organization_id == request.organization_id, table.c.id.in_(named))
            there += await connection.scalars(query.order_by(table.c.id).with_for_update(read=True))
        erased = select(erasures.c.subject_id, erasures.c.applied_at).where(
            erasures.c.organization_id == request.organization_id, erasures.c.subject_id.in_(named)
        )
        rows = (await connection.execute(erased)).all()
        return there, any(row.subject_id not in there or row.applied_at >= request.begun_at for row in rows)

    async def release(self, transaction: Transaction, request: KeptRequest, at: datetime) -> None:
        """End the lease; a request that took no effect is removed."""
        connection = connection_of(transaction)
        mine = (requests.c.id == request.id, requests.c.claim == request.claim, requests.c.key_id.is_(None))
        await connection.execute(delete(requests).where(*mine, requests.c.took_effect.is_(False)))
        await connection.execute(update(requests).where(*mine).values(lease_until=at))

    async def purge(self, transaction: Transaction, begun_before: datetime, most: int) -> int:
        """Remove the oldest requests, at most so many, with the keys of their seals; returns how many."""
        connection = connection_of(transaction)
        query = (
            select(requests.c.id, requests.c.key_id)
            .where(requests.c.begun_at < begun_before)
            .order_by(requests.c.begun_at)
            .limit(most)
            # One that is held is just being begun anew, or erased: it is another one then, or is left to the next time.
            .with_for_update(skip_locked=True)
        )
        rows = (await connection.execute(query)).all()
        if rows:
            await connection.execute(delete(requests).where(requests.c.id.in_([row.id for row in rows])))
            keys = [row.key_id for row in rows if row.key_id is not None]
            await connection.execute(delete(object_keys).where(object_keys.c.id.in_(keys)))
        return len(rows)

    async def _forget_answer(self, transaction: Transaction, request: KeptRequest) -> None:
        connection = connection_of(transaction)
        query = select(requests.c.key_id).where(requests.c.id == request.id)
        key_id = (await connection.execute(query)).scalar_one_or_none()
        if key_id is not None:
            await connection.execute(
                update(requests).where(requests.c.id == request.id).values(key_id=None, sealed=None)
            )
            await connection.execute(delete(object_keys).where(object_keys.c.id == key_id))
        await connection.execute(delete(subjects).where(subjects.c.request_id == request.id))

    def _keyed(self, request: KeptRequest, digest: bytes) -> bytes:
        return self._index.blind_index(request.organization_id, "request.body", digest.hex())

    def _request(self, row: Row[Any]) -> KeptRequest:
        content = self._rows.open(row, row.organization_id, requests, row.id)
        return KeptRequest(
            id=row.id,
            organization_id=row.organization_id,
            user_id=row.user_id,
            encounter_id=row.encounter_id,
            claim=row.claim,
            begun_at=row.begun_at,
            lease_until=row.lease_until,
            digest=row.digest,
            took_effect=row.took_effect,
            answer=None
            if content is None
            else Answer(content["status"], content["headers"], base64.b64decode(content["body"])),
        )


def _begun(request: KeptRequest) -> dict[str, Any]:
    return {
        "encounter_id": request.encounter_id,
        "claim": request.claim,
        "begun_at": request.begun_at,
        "lease_until": request.lease_until,
        "took_effect": False,
        "digest": None,
        "key_id": None,
        "sealed": None,
    }
