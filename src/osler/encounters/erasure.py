"""Erasure for good: by command, by retention, after a withdrawal of consent, and again after a restore.

One erasure goes through phases, of which each can be done again: the ledger's entry, which is durable before anything
is destroyed; one transaction that destroys keys and sealed columns and leaves tombstones; the objects in the blob
store; the traces in the database's files. Whatever a crash leaves open, :meth:`ErasureService.apply_ledger` finishes
at the next start, and housekeeping while a process lives.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from osler.access.ports import OrganizationRepository
from osler.audit.model import SYSTEM, Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.model import (
    EncounterStanding,
    EncounterState,
    Erasure,
    ErasureReason,
    ErasureScope,
)
from osler.encounters.ports import BlobInventory, EncounterEraser, EncounterRepository, ErasureLedger
from osler.kernel.blobs import BlobVault
from osler.kernel.clock import Clock
from osler.kernel.errors import (
    BlobsUnavailableError,
    CorruptedError,
    DatabaseUnavailableError,
    ErasedError,
    MasterKeyError,
    NotFoundError,
)
from osler.kernel.ids import new_id
from osler.kernel.transactions import Database, Transaction

BATCH: Final = 100
"""Encounters that a policy reads at once, and erasures whose blobs and traces are removed together."""

BLOBS_AT_ONCE: Final = 1000
"""Objects that are compared with the rows at once."""

MARGIN: Final = timedelta(minutes=1)
"""An erasure that is applied again spares what is newer than it by more than this: longer than its phases lie apart."""

ORPHANS_AFTER: Final = timedelta(hours=24)
"""Age of an object without a row after which its upload is surely over."""

NAMES: Final = {ErasureScope.PATIENT_PROFILE: "patient_profile", ErasureScope.CONTEXT_DOCUMENT: "context_document"}
"""What the audit trail calls that which is erased by itself; all else is an encounter's."""

logger = logging.getLogger(__name__)


class ErasureService:
    """Destroys encounters, patient profiles and context documents, and sees to it that they stay destroyed."""

    def __init__(
        self,
        *,
        database: Database,
        clock: Clock,
        encounters: EncounterRepository,
        eraser: EncounterEraser,
        organizations: OrganizationRepository,
        ledger: ErasureLedger,
        vault: BlobVault,
        inventory: BlobInventory,
        audit: AuditTrail,
    ) -> None:
        self._database = database
        self._clock = clock
        self._encounters = encounters
        self._eraser = eraser
        self._organizations = organizations
        self._ledger = ledger
        self._vault = vault
        self._inventory = inventory
        self._audit = audit

    async def erase(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        *,
        scope: ErasureScope,
        reason: ErasureReason,
    ) -> Erasure:
        """Erase what ``scope`` says of an encounter. On return it can be read by nobody, here or from a later restore.

        Raises NotFoundError, ErasedError (all of it was erased before), BlobsUnavailableError and StorageFullError
        (the ledger could not be written: nothing was erased), DatabaseUnavailableError.
        """
        now = self._clock.now()
        erasure = await self._erase(actor, organization_id, encounter_id, scope, reason, now, _always)
        assert erasure is not None
        await self.finish()
        return erasure

    async def announce(self, organization_id: str, scope: ErasureScope, subject_ids: Iterable[str]) -> list[Erasure]:
        """Write into the ledger that patient profiles or context documents (``scope``) are to be deleted.

        For services that delete on a client's word: announce, then :meth:`carry_out` each in the transaction that
        writes the audit trail, then :meth:`finish` after its commit. What was announced goes even if the process dies
        before that. Raises BlobsUnavailableError, StorageFullError.
        """
        now = self._clock.now()
        erasures = [
            Erasure(new_id(), organization_id, subject_id, scope, ErasureReason.DELETED, now)
            for subject_id in subject_ids
        ]
        for erasure in erasures:
            await self._ledger.append(erasure)
        return erasures

    async def carry_out(self, transaction: Transaction, erasure: Erasure) -> bool:
        """Destroy what was announced; False if it is gone already. The caller writes the audit trail."""
        return await self._eraser.destroy(transaction, erasure)

    async def run_policies(self, now: datetime) -> int:
        """Erase what is due: audio past its organization's retention, and what a withdrawal of consent ended.

        Audio is past retention when all that an encounter has came so long ago: a visit may have been created, for its
        appointment, long before anybody spoke in it.

        Returns how many encounters were erased. What cannot be erased now is logged, by its encounter's id, and due
        again at the next run. Raises DatabaseUnavailableError, BlobsUnavailableError, StorageFullError.
        """

        async def withdrawn(limit: int) -> Sequence[tuple[str, str]]:
            async with self._database.read() as transaction:
                return await self._encounters.due_for_consent_erasure(transaction, now, limit)

        def still_withdrawn(standing: EncounterStanding) -> bool:
            return standing.consent.erase_at is not None and standing.consent.erase_at <= now

        count = await self._erase_due(
            withdrawn, ErasureScope.AUDIO_AND_UNSIGNED, ErasureReason.CONSENT_WITHDRAWN, now, still_withdrawn
        )
        async with self._database.read() as transaction:
            organizations = await self._organizations.all(transaction)
        for organization in organizations:
            if organization.retention_days is None:
                continue
            received_before = now - timedelta(days=organization.retention_days)
            old = partial(self._old, organization.id, received_before)
            count += await self._erase_due(
                old, ErasureScope.AUDIO, ErasureReason.RETENTION, now, _always, received_before
            )
        await self.finish()
        return count

    async def apply_ledger(self, older_than: timedelta = timedelta(0)) -> int:
        """Apply every erasure of the ledger that this database does not know, and finish those that were cut off.

        For the start of a process, before anything is served, and for a restored backup; and from time to time, with
        an age at which whoever wrote an entry has surely died over it. Returns how many were applied. Raises
        CorruptedError, after all others were applied, if an entry is not one that this deployment wrote; also
        DatabaseUnavailableError and BlobsUnavailableError.
        """
        before = self._clock.now() - older_than
        listed = await self._ledger.ids()
        async with self._database.read() as transaction:
            applied = await self._eraser.applied(transaction)
        count = 0
        refused: CorruptedError | None = None
        for erasure_id in sorted(set(listed) - applied):
            try:
                erasure = await self._ledger.get(erasure_id)
            except CorruptedError as error:
                refused = error
                continue
            if erasure.at > before:
                continue
            async with self._database.write() as transaction:
                if await self._eraser.destroy(transaction, erasure, created_before=erasure.at + MARGIN):
                    await self._audit.append(transaction, [self._event(SYSTEM, erasure, again=True)])
                    count += 1
        await self.finish()
        if refused is not None:
            raise refused
        return count

    async def sweep_orphan_blobs(self, older_than: timedelta = ORPHANS_AFTER) -> int:
        """Remove objects that no row refers to and that were stored longer ago than that; returns how many.

        They are what a crash between storing an object and writing its row leaves. Raises BlobsUnavailableError,
        DatabaseUnavailableError.
        """
        before = self._clock.now() - older_than
        count = await self._inventory.remove_unfinished(before)
        batch: list[str] = []
        async for blob_id in self._inventory.list(before):
            batch.append(blob_id)
            if len(batch) == BLOBS_AT_ONCE:
                count += await self._remove_orphans(batch)
                batch = []
        return count + await self._remove_orphans(batch)

    async def _remove_orphans(self, blob_ids: Sequence[str]) -> int:
        if not blob_ids:
            return 0
        async with self._database.read() as transaction:
            known = await self._eraser.known_blobs(transaction, blob_ids)
        orphans = [blob_id for blob_id in blob_ids if blob_id not in known]
        await self._vault.delete(orphans)
        return len(orphans)

    async def _old(self, organization_id: str, received_before: datetime, limit: int) -> Sequence[tuple[str, str]]:
        async with self._database.read() as transaction:
            return await self._encounters.due_for_retention(transaction, organization_id, received_before, limit)

    async def _erase_due(
        self,
        due: Callable[[int], Awaitable[Sequence[tuple[str, str]]]],
        scope: ErasureScope,
        reason: ErasureReason,
        now: datetime,
        still_due: Callable[[EncounterStanding], bool],
        created_before: datetime | None = None,
    ) -> int:
        """Erase batch after batch until nothing is due but what could not be erased in this run.

        ``due`` returns so many at most; ``created_before`` spares what came in since it looked.
        """
        count = 0
        left: set[tuple[str, str]] = set()
        while True:
            batch = [each for each in await due(BATCH + len(left)) if each not in left]
            if not batch:
                return count
            for organization_id, encounter_id in batch:
                try:
                    done = await self._erase(
                        SYSTEM, organization_id, encounter_id, scope, reason, now, still_due, created_before
                    )
                except (NotFoundError, ErasedError):
                    done = None  # another process was faster
                except (CorruptedError, MasterKeyError) as error:
                    logger.error("encounter %s cannot be erased: %s", encounter_id, type(error).__name__)
                    done = None
                if done is None:
                    left.add((organization_id, encounter_id))
                else:
                    count += 1

    async def _erase(
        self,
        actor: Actor,
        organization_id: str,
        encounter_id: str,
        scope: ErasureScope,
        reason: ErasureReason,
        now: datetime,
        still_due: Callable[[EncounterStanding], bool],
        created_before: datetime | None = None,
    ) -> Erasure | None:
        """Write the ledger, then destroy. None: not due any more."""
        async with self._database.write() as transaction:
            standing = await self._eraser.lock(transaction, organization_id, encounter_id)
        _refuse_erased(standing)
        if not still_due(standing):
            return None
        erasure = Erasure(
            id=new_id(),
            organization_id=organization_id,
            subject_id=encounter_id,
            scope=scope,
            reason=reason,
            at=now,
            kept=standing.signed if scope is ErasureScope.AUDIO_AND_UNSIGNED else (),
        )
        await self._ledger.append(erasure)
        async with self._database.write() as transaction:
            standing = await self._eraser.lock(transaction, organization_id, encounter_id)
            # False: another process found it in the ledger, took this one for dead and did it.
            if await self._eraser.destroy(transaction, erasure, created_before=created_before):
                _refuse_erased(standing)
                await self._audit.append(transaction, [self._event(actor, erasure)])
        return erasure

    async def finish(self) -> None:
        """Remove blobs and traces of what is committed. What cannot be removed now is left to the next run."""
        while True:
            async with self._database.read() as transaction:
                unfinished = await self._eraser.unfinished(transaction, BATCH)
            if not unfinished:
                return
            try:
                await self._vault.delete(blob_id for each in unfinished for blob_id in each.blob_ids)
                await self._eraser.erase_traces()
            except (BlobsUnavailableError, DatabaseUnavailableError) as error:
                # Their keys are destroyed; only sealed bytes that nobody can open are left.
                logger.warning("traces of an erasure are left to the next run: %s", type(error).__name__)
                return
            async with self._database.write() as transaction:
                await self._eraser.finish(transaction, [each.id for each in unfinished], self._clock.now())

    def _event(self, actor: Actor, erasure: Erasure, *, again: bool = False) -> AuditEvent:
        name = NAMES.get(erasure.scope)
        return AuditEvent(
            erasure.organization_id,
            actor,
            "encounter.erased" if name is None else f"{name}.deleted",
            self._clock.now(),
            subject={name or "encounter": erasure.subject_id, "erasure": erasure.id},
            detail={
                "scope": erasure.scope.value,
                "reason": erasure.reason.value,
                **({"again": "true"} if again else {}),
            },
        )


def _always(_standing: EncounterStanding) -> bool:
    return True


def _refuse_erased(standing: EncounterStanding) -> None:
    if standing.state is EncounterState.ERASED:
        raise ErasedError("this encounter was erased for good already")
