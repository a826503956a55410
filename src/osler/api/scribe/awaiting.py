"""Waiting for a session's transcript, for what is answered from it at once."""

from osler.api.scribe.auth import ScribeUser
from osler.api.scribe.services import ScribeServices
from osler.api.scribe.writing import LONGEST_WAIT, looks, not_yet


async def transcript_is_there(services: ScribeServices, who: ScribeUser, session_id: str) -> None:
    """Wait until no transcript is on its way. Raises ScribeError (503) once that takes too long."""
    async for _ in looks(at_most=LONGEST_WAIT):
        if not await services.transcripts.pending(who.organization_id, session_id):
            return
    raise not_yet("The transcript is still being made; ask again later")
