"""The trace of what was read: every answer that holds content of a visit or a patient leaves one."""

import asyncio
from collections.abc import Iterable

from osler.api.scribe.auth import ScribeUser
from osler.api.scribe.services import ScribeServices
from osler.audit.model import AuditEvent


async def trace_reading(
    services: ScribeServices, who: ScribeUser, action: str, kind: str, ids: Iterable[str], **detail: str
) -> None:
    """Record that ``who`` read these things of one ``kind`` (``encounter``, ``patient_profile``), an entry for each.

    Durable on return, so that nothing is shown without a trace.
    """
    now = services.clock.now()
    events = [
        AuditEvent(who.organization_id, who.actor, action, now, subject={kind: each}, detail=detail) for each in ids
    ]
    if len(events) == 1:  # needs no task of its own
        await services.audit.record(events[0])
    else:
        await asyncio.gather(*(services.audit.record(event) for event in events))
