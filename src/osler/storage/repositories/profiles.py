"""Patient profiles as rows: all but ids and times is sealed, and found again by blind indexes."""

from datetime import date
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, func, insert, select, update

from osler.encounters.model import PatientProfile
from osler.kernel.errors import NotFoundError
from osler.kernel.pages import Page, Position
from osler.kernel.transactions import Transaction
from osler.storage.database import connection_of
from osler.storage.repositories.encounters import EHR_PATIENT, one_page, readable
from osler.storage.repositories.sealed import BlindIndex, SealedRows, with_key
from osler.storage.tables.encounters import patient_profiles

PROVIDER: Final = "provider"
"""Name of the blind index of a profile's provider."""

TEXTS: Final = (
    "first_name",
    "last_name",
    "gender",
    "ehr_patient_id",
    "provider",
    "phone",
    "email",
    "patient_sex_code",
    "demographic_string",
    "additional_context",
)


class SqlPatientProfileRepository:
    """Implements :class:`osler.encounters.ports.PatientProfileRepository`."""

    def __init__(self, sealed: SealedRows, index: BlindIndex) -> None:
        self._sealed = sealed
        self._index = index

    async def add(self, transaction: Transaction, profile: PatientProfile) -> None:
        """Write a new profile with a key of its own."""
        sealed = await self._sealed.add(
            transaction, profile.organization_id, patient_profiles, profile.id, _content(profile)
        )
        await connection_of(transaction).execute(
            insert(patient_profiles).values(
                id=profile.id,
                organization_id=profile.organization_id,
                owner_id=profile.owner_id,
                created_at=profile.created_at,
                updated_at=profile.updated_at,
                **self._indexes(profile),
                **sealed,
            )
        )

    async def get(self, transaction: Transaction, organization_id: str, profile_id: str) -> PatientProfile:
        """Raises NotFoundError."""
        query = with_key(patient_profiles).where(_this(organization_id, profile_id))
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("there is no such patient profile")
        return self._profile(row)

    async def lock(self, transaction: Transaction, organization_id: str, profile_id: str) -> PatientProfile:
        """As get, held against other writers. Raises NotFoundError."""
        query = select(patient_profiles.c.id).where(_this(organization_id, profile_id)).with_for_update()
        await connection_of(transaction).execute(query)
        return await self.get(transaction, organization_id, profile_id)

    async def save(self, transaction: Transaction, profile: PatientProfile) -> None:
        """Write every field of a locked profile. Raises NotFoundError."""
        sealed = await self._sealed.reseal(
            transaction, profile.organization_id, patient_profiles, profile.id, _content(profile)
        )
        done = await connection_of(transaction).execute(
            update(patient_profiles)
            .where(_this(profile.organization_id, profile.id))
            .values(updated_at=profile.updated_at, sealed=sealed, **self._indexes(profile))
        )
        if done.rowcount != 1:
            raise NotFoundError("there is no such patient profile")

    async def list(
        self,
        transaction: Transaction,
        organization_id: str,
        *,
        owner_id: str | None = None,
        ehr_patient_id: str | None = None,
        provider: str | None = None,
        limit: int = 50,
        after: Position | None = None,
        offset: int = 0,
        newest_first: bool = False,
    ) -> Page[PatientProfile]:
        """Return one page by time of creation, then id; the filters are exact, by blind index."""
        query = self._where(with_key(patient_profiles), organization_id, owner_id, ehr_patient_id, provider)
        column = patient_profiles.c
        query = one_page(query, column.created_at, column.id, limit, after, offset, newest_first)
        rows = (await connection_of(transaction).execute(query)).all()
        last = rows[limit - 1] if len(rows) > limit else None
        items, damaged = readable(rows[:limit], self._profile, "patient_profile_id")
        return Page(items, None if last is None else Position(last.created_at, last.id), damaged)

    async def count(
        self,
        transaction: Transaction,
        organization_id: str,
        *,
        owner_id: str | None = None,
        ehr_patient_id: str | None = None,
        provider: str | None = None,
    ) -> int:
        """Return how many profiles fit."""
        query = select(func.count()).select_from(patient_profiles)
        query = self._where(query, organization_id, owner_id, ehr_patient_id, provider)
        return int((await connection_of(transaction).execute(query)).scalar_one())

    def _where(
        self,
        query: Select[Any],
        organization_id: str,
        owner_id: str | None,
        ehr_patient_id: str | None,
        provider: str | None,
    ) -> Select[Any]:
        column = patient_profiles.c
        query = query.where(column.organization_id == organization_id)
        if owner_id is not None:
            # As in SqlEncounterRepository: the few of one EHR id are found first, the owner's are not walked through.
            owner = column.owner_id if ehr_patient_id is None else func.coalesce(column.owner_id, "")
            query = query.where(owner == owner_id)
        if ehr_patient_id is not None:
            found_by = self._index.blind_index(organization_id, EHR_PATIENT, ehr_patient_id)
            query = query.where(column.ehr_patient_index == found_by)
        if provider is not None:
            query = query.where(column.provider_index == self._index.blind_index(organization_id, PROVIDER, provider))
        return query

    def _indexes(self, profile: PatientProfile) -> dict[str, bytes | None]:
        def index(field: str, value: str | None) -> bytes | None:
            return self._index.blind_index(profile.organization_id, field, value) if value else None

        return {
            "ehr_patient_index": index(EHR_PATIENT, profile.ehr_patient_id),
            "provider_index": index(PROVIDER, profile.provider),
        }

    def _profile(self, row: Row[Any]) -> PatientProfile:
        content = self._sealed.open(row, row.organization_id, patient_profiles, row.id) or {}
        birth_date = content.get("birth_date")
        return PatientProfile(
            id=row.id,
            organization_id=row.organization_id,
            owner_id=row.owner_id,
            created_at=row.created_at,
            updated_at=row.updated_at,
            birth_date=birth_date and date.fromisoformat(birth_date),
            identifiers=tuple(content.get("identifiers", ())),
            **{field: content.get(field) for field in TEXTS},
        )


def _this(organization_id: str, profile_id: str) -> ColumnElement[bool]:
    return (patient_profiles.c.organization_id == organization_id) & (patient_profiles.c.id == profile_id)


def _content(profile: PatientProfile) -> dict[str, Any]:
    return {
        **{field: getattr(profile, field) for field in TEXTS},
        "birth_date": profile.birth_date and profile.birth_date.isoformat(),
        "identifiers": [dict(identifier) for identifier in profile.identifiers],
    }
