"""The baseline of the public API: a Starlette route that reads and decrypts a page and answers it by msgspec, no more.

``python -m osler_evals.public_bare --port N`` serves ``/encounters/{organization_id}?limit=50&offset=0`` of the
deployment that ``OSLER_DATA`` and ``OSLER_DATABASE`` (PostgreSQL) name: no key, no check, no audit, no rate. It is what
one would write who wants nothing but this page, quickly: asyncpg itself with prepared statements, three statements
without a transaction, the page's rows chosen in the index, and only what the page shows opened. It runs in the same
HTTP server with the same settings as ``osler serve``.
"""

import argparse
import asyncio
import sys
from datetime import date, datetime
from typing import Any, Final

import asyncpg
import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from osler.bootstrap import open_core, read_settings
from osler.kernel.blobs import ObjectKey
from osler.kernel.ids import derived_id
from osler.storage.database import POSTGRESQL_CONNECTIONS
from osler.storage.database_url import PostgresqlLocation
from osler.storage.sealing.fields import field_context, unseal
from osler.storage.sealing.keys import DataKey, KeyRing

PAGE: Final = """
SELECT e.id, e.created_at, e.updated_at, e.state, e.transcribe_mode, e.created_time_local, p.id AS profile_id,
       p.sealed AS profile_sealed, pk.id AS profile_key_id, pk.wrapped AS profile_wrapped, pk.master AS profile_master,
       CASE WHEN p.id IS NULL THEN e.sealed END AS sealed, k.id AS key_id, k.wrapped, k.master,
       CASE WHEN e.created_time_local IS NULL THEN (
           SELECT min(r.started_at) FROM recordings r
           WHERE r.organization_id = $1 AND r.encounter_id = e.id) END AS started_at
FROM (SELECT id FROM encounters
      WHERE organization_id = $1 AND purpose = 'care' AND state <> 'erased'
      ORDER BY created_at DESC, id DESC LIMIT $2 OFFSET $3) AS page
JOIN encounters e ON e.id = page.id
LEFT JOIN patient_profiles p ON p.id = e.patient_profile_id AND p.organization_id = $1
LEFT JOIN object_keys pk ON pk.id = p.key_id
JOIN object_keys k ON k.id = e.key_id
ORDER BY e.created_at DESC, e.id DESC
"""
DOCUMENTS: Final = """
SELECT encounter_id, id, kind, slot, audio_duration, updated_at, released_at, sealed
FROM released_documents WHERE organization_id = $1 AND encounter_id = ANY($2) ORDER BY created_at, id
"""
TOTAL: Final = "SELECT count(*) FROM encounters WHERE organization_id = $1 AND purpose = 'care' AND state <> 'erased'"

TITLES: Final = {
    "transcript": "Ambient transcript",
    "note": "Consult note",
    "billing": "Billing summary",
    "checklist": "Encounter checklist",
}


class Patient(msgspec.Struct):
    """Who the visit was about."""

    patient_id: str
    first_name: str | None
    last_name: str | None
    date_of_birth: date | None


class Document(msgspec.Struct):
    """A document's summary."""

    document_id: str
    schema_type: str
    title: str | None
    status: str | None
    workflow_variant: str | None
    audio_duration_seconds: float | None


class Encounter(msgspec.Struct):
    """A row of the page."""

    encounter_id: str
    organization_id: str
    created_at: datetime
    updated_at: datetime
    date_of_service: datetime | None
    patient: Patient | None
    status: str
    encounter_type: str | None
    documents: list[Document]


class Page(msgspec.Struct):
    """The answer."""

    items: list[Encounter]
    total: int
    limit: int
    offset: int


class OwnPatient(msgspec.Struct):
    """What the session itself was told of the patient."""

    name: str
    birth_date: date | None


class Content(msgspec.Struct):
    """What is read of a sealed profile or encounter."""

    first_name: str | None = None
    last_name: str | None = None
    birth_date: date | None = None
    patient: OwnPatient | None = None


class Bare:
    """The route."""

    def __init__(self, pool: Any, keyring: KeyRing) -> None:
        self._pool = pool
        self._keyring = keyring
        self._encoder = msgspec.json.Encoder()
        self._decoder = msgspec.json.Decoder(Content)

    async def page(self, request: Request) -> Response:
        """Answer one page."""
        organization_id = request.path_params["organization_id"]
        limit = int(request.query_params.get("limit", "50"))
        offset = int(request.query_params.get("offset", "0"))
        async with self._pool.acquire() as connection:
            rows = await connection.fetch(PAGE, organization_id, limit, offset)
            documents = await connection.fetch(DOCUMENTS, organization_id, [row["id"] for row in rows])
            total = await connection.fetchval(TOTAL, organization_id)
        below: dict[str, list[Any]] = {row["id"]: [] for row in rows}
        for document in documents:
            below[document["encounter_id"]].append(document)
        items = [self._encounter(organization_id, row, below[row["id"]]) for row in rows]
        return Response(self._encoder.encode(Page(items, total, limit, offset)), media_type="application/json")

    def _encounter(self, organization_id: str, row: Any, documents: list[Any]) -> Encounter:
        phone = row["transcribe_mode"] == "phone"
        variant = "phone_call" if phone else "ambient"
        state = row["state"]
        key = None
        if row["profile_id"] is None or any(document["sealed"] is not None for document in documents):
            key = self._keyring.open_key(ObjectKey(row["key_id"], row["wrapped"], row["master"]))
        return Encounter(
            row["id"],
            organization_id,
            row["created_at"],
            max([row["updated_at"], *(document["updated_at"] or document["released_at"] for document in documents)]),
            row["created_time_local"] or row["started_at"],
            self._patient(organization_id, row, key),
            state if state != "open" else "in_progress",
            variant if any(document["kind"] == "ambient_transcript" for document in documents) else None,
            [
                Document(
                    document["id"],
                    document["kind"],
                    self._title(organization_id, document, key),
                    "completed" if document["kind"] == "ambient_transcript" else None,
                    variant if document["kind"] == "ambient_transcript" else None,
                    document["audio_duration"],
                )
                for document in documents
            ],
        )

    def _title(self, organization_id: str, document: Any, key: DataKey | None) -> str | None:
        if document["sealed"] is None:
            return TITLES.get(document["slot"])
        assert key is not None
        place = field_context("released_documents", document["id"], "sealed", organization_id)
        title: str = msgspec.json.decode(unseal(key, document["sealed"], place), type=str)
        return title

    def _patient(self, organization_id: str, row: Any, key: DataKey | None) -> Patient | None:
        profile_id = row["profile_id"]
        if profile_id is not None:
            wrapped = ObjectKey(row["profile_key_id"], row["profile_wrapped"], row["profile_master"])
            place = field_context("patient_profiles", profile_id, "sealed", organization_id)
            plain = unseal(self._keyring.open_key(wrapped), row["profile_sealed"], place)
            content = self._decoder.decode(plain)
            return Patient(profile_id, content.first_name, content.last_name, content.birth_date)
        assert key is not None
        place = field_context("encounters", row["id"], "sealed", organization_id)
        own = self._decoder.decode(unseal(key, row["sealed"], place)).patient
        if own is None:
            return None
        first, _, last = own.name.rpartition(" ")
        return Patient(derived_id("session patient", organization_id, row["id"]), first, last, own.birth_date)


async def serve(port: int) -> None:
    """Serve until SIGTERM."""
    settings = read_settings()
    async with open_core(settings, engine="closed") as core:
        location = core.database.location
        assert isinstance(location, PostgresqlLocation), "the baseline reads PostgreSQL"
        pool = await asyncpg.create_pool(
            location.known_to_asyncpg(),
            min_size=POSTGRESQL_CONNECTIONS,
            max_size=POSTGRESQL_CONNECTIONS,
            server_settings={"jit": "off"},
        )
        async with pool:
            bare = Bare(pool, core.keyring)
            app = Starlette(routes=[Route("/encounters/{organization_id}", bare.page)])
            config = uvicorn.Config(
                app, port=port, log_level="warning", access_log=False, server_header=False, lifespan="off", ws="none"
            )
            await uvicorn.Server(config).serve()


def main() -> int:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    asyncio.run(serve(parser.parse_args().port))
    return 0


if __name__ == "__main__":
    sys.exit(main())
