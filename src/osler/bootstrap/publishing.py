"""What is read from outside: who may, what there is, who saw it, and what a visit covered."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from osler.bootstrap.adapters import Adapters
from osler.bootstrap.repositories import Repositories

if TYPE_CHECKING:
    from osler.access.public import PublicAccess
    from osler.access.recent import Watch
    from osler.access.service import AccessService
    from osler.audit.disclosures import DisclosureService
    from osler.audit.service import AuditService
    from osler.notes.checklist import ChecklistReader, ChecklistService
    from osler.release.reading import PublicReadingService


@dataclass(frozen=True, slots=True)
class Publishing:
    """The services of the public API. ``requests_per_minute``: of a key, 0: any; ``test_keys``: are they taken?"""

    access: "PublicAccess"
    reading: "PublicReadingService"
    disclosures: "DisclosureService"
    checklists: "ChecklistService"
    requests_per_minute: int
    test_keys: bool


def publishing(
    parts: Adapters, stored: Repositories, access: "AccessService", audit: "AuditService", watch: "Watch"
) -> Publishing:
    """Return the services of the public API."""
    from osler.access.public import PublicAccess
    from osler.audio.urls import RecordingUrls
    from osler.audit.disclosures import DisclosureService
    from osler.notes.checklist import ChecklistService
    from osler.release.reading import PublicReadingService
    from osler.storage.repositories.access import SqlPublicSwitchRepository
    from osler.storage.repositories.public import SqlPublicRepository

    settings, database, clock = parts.settings, parts.database, parts.clock
    return Publishing(
        access=PublicAccess(
            database=database,
            clock=clock,
            switches=SqlPublicSwitchRepository(),
            organizations=access,
            audit=audit,
            watch=watch,
        ),
        reading=PublicReadingService(
            database=database,
            public=SqlPublicRepository(stored.sealed),
            transcripts=stored.transcripts,
            notes=stored.notes,
            documents=stored.documents,
            addresses=RecordingUrls(
                database=database,
                recordings=stored.recordings,
                vault=parts.vault,
                clock=clock,
                lifetime=timedelta(minutes=settings.audio_url_minutes),
            ),
        ),
        disclosures=DisclosureService(audit=audit, repository=stored.audit, database=database, clock=clock),
        checklists=ChecklistService(
            database=database,
            checklists=stored.checklists,
            transcripts=stored.transcripts,
            encounters=stored.encounters,
            load_reader=_checklist_reader,
        ),
        requests_per_minute=settings.public_requests_per_minute,
        test_keys=settings.public_test_keys,
    )


def _checklist_reader() -> "ChecklistReader":
    from osler.bootstrap.engines import checklist_reader

    return checklist_reader()
