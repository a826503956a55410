"""Requests that carry a key of their own: done once, and answered the same again for a day.

What is promised for each key, of one user, on one path:

- Work begins only while nobody else has begun it, in any process.
- The first transaction that the work commits also says so in the key's row. Work whose process died before that is done
  anew by the next repeat, once the lease of the dead one has run out. Work whose process died after that is never done
  again: its repeat is told that it took effect and that the answer is lost (:class:`AnswerLostError`). The same goes
  for an answer that told of something that was erased since.
- Work that was answered is answered the same again until :data:`KEPT` has gone by.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from osler.access.ports import IdempotencyRepository
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, StorageError
from osler.kernel.ids import new_id
from osler.kernel.transactions import Database, Transaction, joining

KEPT: Final = timedelta(hours=24)
"""How long an answer is given again."""

LEASE: Final = timedelta(seconds=30)
"""How long a process that says nothing of its work is thought to be at it."""

RENEWED_EVERY: Final = 10.0
"""Seconds after which a process says that it is still at it."""

WAIT: Final = 10.0
"""Seconds that a repeat waits for work that is under way."""

PAUSE: Final = 0.1
"""Seconds between two looks."""

PURGED_AT_ONCE: Final = 1000


class KeyReusedError(ConflictError):
    """The key belongs to a request with another body."""


class StillRunningError(ConflictError):
    """The first request of this key is still being worked on. Try again later."""


class AnswerLostError(ConflictError):
    """The first request of this key took effect, but its answer was lost with the process that had it."""


@dataclass(frozen=True, slots=True)
class RequestKey:
    """A request as its sender names it. ``route`` is method and path; ``encounter_id`` is set where it is below one."""

    organization_id: str
    user_id: str
    route: str
    key: str
    encounter_id: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it is given again. Sealed at rest."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """What is known of a request. ``digest`` is of its body, None until it was read; ``claim`` is who works on it.

    ``subjects`` are ids that the answer tells of; of these, encounters, patient profiles and context documents take
    the answer with them when they are erased.
    """

    id: str
    organization_id: str
    user_id: str
    encounter_id: str | None
    claim: str
    begun_at: datetime
    lease_until: datetime
    digest: bytes | None = None
    took_effect: bool = False
    answer: Answer | None = None
    subjects: tuple[str, ...] = ()


class Attempt:
    """Work on a request under its key. The digest may come at the end, when a large body has been read."""

    def __init__(self, kept: KeptRequest) -> None:
        self.kept = kept


class IdempotencyService:
    """Keeps who works on which request, and the answers."""

    def __init__(
        self, *, database: Database, repository: IdempotencyRepository, clock: Clock, lease: timedelta = LEASE
    ) -> None:
        self._database = database
        self._repository = repository
        self._clock = clock
        self._lease = lease

    async def begin(self, key: RequestKey, *, wait: float = WAIT) -> Attempt | KeptRequest:
        """Return an attempt if the work is the caller's to do, or what is kept of the answered request.

        Waits for work that is under way. Raises StillRunningError, AnswerLostError.
        """
        until = asyncio.get_running_loop().time() + wait
        while True:
            kept = await self._claim(key)
            if isinstance(kept, Attempt) or kept.answer is not None:
                return kept
            if asyncio.get_running_loop().time() >= until:
                raise StillRunningError("The first request with this Idempotency-Key is still being worked on")
            await asyncio.sleep(PAUSE)

    @contextlib.asynccontextmanager
    async def working(self, attempt: Attempt) -> AsyncIterator[None]:
        """Hold the claim, and have the first transaction that the block commits say that the work took effect."""

        async def say_so(transaction: Transaction) -> None:
            if not attempt.kept.took_effect:
                await self._repository.mark_effect(transaction, attempt.kept)
                # Should this commit fail, the request fails too, and is given up.
                attempt.kept = replace(attempt.kept, took_effect=True)

        renewal = asyncio.create_task(self._renew(attempt.kept))
        try:
            with joining(say_so):
                yield
        finally:
            renewal.cancel()
            await asyncio.wait((renewal,))

    async def finish(self, attempt: Attempt, digest: bytes, answer: Answer, subjects: tuple[str, ...] = ()) -> None:
        """Keep the answer, unless one of ``subjects`` (ids that it tells of) was erased meanwhile."""
        done = replace(attempt.kept, digest=digest, answer=answer, subjects=subjects)
        async with self._database.write() as transaction:
            await self._repository.keep(transaction, done)

    async def give_up(self, attempt: Attempt) -> None:
        """Let the next repeat do the work, if this attempt committed nothing; if it did, it is not done again."""
        async with self._database.write() as transaction:
            await self._repository.release(transaction, attempt.kept, self._clock.now())

    def check_digest(self, kept: KeptRequest, digest: bytes) -> None:
        """Raises KeyReusedError if the answered request had another body."""
        if not self._repository.is_digest(kept, digest):
            raise KeyReusedError("This Idempotency-Key belongs to a request with another body; use a new key")

    async def purge(self, now: datetime) -> int:
        """Remove what is older than :data:`KEPT`, keys of the seals included; returns how many."""
        removed = 0
        while True:
            async with self._database.write() as transaction:
                count = await self._repository.purge(transaction, now - KEPT, PURGED_AT_ONCE)
            removed += count
            if count < PURGED_AT_ONCE:
                return removed

    async def _claim(self, key: RequestKey) -> Attempt | KeptRequest:
        now = self._clock.now()
        async with self._database.write() as transaction:
            mine = self._repository.named(key, new_id(), now, now + self._lease)
            standing = await self._repository.add_or_lock(transaction, mine)
            if standing is None:
                return Attempt(mine)
            if standing.begun_at + KEPT <= now:
                await self._repository.replace(transaction, mine)
                return Attempt(mine)
            if standing.answer is not None or standing.lease_until > now:
                return standing
            if standing.took_effect:
                raise AnswerLostError(
                    "The first request with this Idempotency-Key took effect, but its answer is lost: "
                    "read what it made instead of sending it again"
                )
            await self._repository.replace(transaction, mine)
            return Attempt(mine)

    async def _renew(self, kept: KeptRequest) -> None:
        while True:
            await asyncio.sleep(RENEWED_EVERY)
            # A claim that cannot be renewed now may be renewed the next time.
            with contextlib.suppress(StorageError):
                async with self._database.write() as transaction:
                    await self._repository.renew(transaction, kept, self._clock.now() + self._lease)
