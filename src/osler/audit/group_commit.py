"""Group commit: events that arrive while one commit runs share the next one."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from osler.audit.model import AuditEvent

MOST: Final = 1000
"""Events of one commit: it is to last milliseconds, as it holds the heads of the chains."""


class GroupCommit:
    """Commits events together. One that comes alone is committed at once; there is no waiting for company.

    Belongs to the event loop that first used it.
    """

    def __init__(self, commit: Callable[[Sequence[AuditEvent]], Awaitable[None]]) -> None:
        """``commit`` makes events durable, all or none."""
        self._commit = commit
        self._waiting: list[tuple[AuditEvent, asyncio.Future[None]]] = []
        self._work: asyncio.Task[None] | None = None

    async def add(self, event: AuditEvent) -> None:
        """Return when ``event`` is durable; raise what its commit raised.

        A caller who is cancelled takes nothing away: his event is committed all the same.
        """
        done = asyncio.get_running_loop().create_future()
        self._waiting.append((event, done))
        if self._work is None:
            self._work = asyncio.create_task(self._run())
        await asyncio.shield(done)

    async def drain(self) -> None:
        """Return when nothing is waiting any more."""
        while self._work is not None:
            await asyncio.wait((self._work,))

    async def _run(self) -> None:
        group: list[tuple[AuditEvent, asyncio.Future[None]]] = []
        try:
            while self._waiting:
                group, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
                try:
                    await self._commit([event for event, _ in group])
                except Exception as error:  # noqa: BLE001  (whatever it is, it belongs to those who wait)
                    for _, done in group:
                        done.set_exception(error)
                else:
                    for _, done in group:
                        done.set_result(None)
        finally:
            self._work = None
            for _, done in (*group, *self._waiting):  # only if this task itself was cancelled
                done.cancel()
