"""A process that erases an encounter and ends by SIGKILL on the way; arguments: organization, encounter, instant."""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final, NoReturn

from osler.audit.model import OPERATOR
from osler.bootstrap import open_core
from osler.encounters.model import ErasureReason, ErasureScope
from osler.storage.blobs.local import LocalObjects
from osler.storage.database import SqlDatabase
from osler.storage.erasure_ledger import StoredErasureLedger

Call = Callable[..., Any]


def die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("nobody outlives this")


def after(call: Call) -> Call:
    async def dying(*args: Any, **kwargs: Any) -> None:
        await call(*args, **kwargs)
        die()

    return dying


async def at_the_first_object(_self: LocalObjects, _names: Sequence[str]) -> None:
    die()


def after_the_first_object(delete: Call) -> Call:
    async def dying(self: LocalObjects, names: Sequence[str]) -> None:
        assert len(names) > 1, "there is nothing between the objects"
        await delete(self, names[:1])
        die()

    return dying


def arm(instant: str) -> None:
    match instant:
        case "after the ledger":
            StoredErasureLedger.append = after(StoredErasureLedger.append)  # type: ignore[method-assign]
        case "after the commit":
            LocalObjects.delete = at_the_first_object  # type: ignore[method-assign, assignment]
        case "between two objects":
            LocalObjects.delete = after_the_first_object(LocalObjects.delete)  # type: ignore[method-assign]
        case "after the objects":
            LocalObjects.delete = after(LocalObjects.delete)  # type: ignore[method-assign]
        case "after the traces":
            SqlDatabase.erase_traces = after(SqlDatabase.erase_traces)  # type: ignore[method-assign]
        case _:
            raise ValueError(instant)


INSTANTS: Final = (
    "after the ledger",
    "after the commit",
    "between two objects",
    "after the objects",
    "after the traces",
)


async def main(organization_id: str, encounter_id: str, instant: str) -> None:
    async with open_core(engine="closed") as core:
        arm(instant)
        scope, reason = ErasureScope.EVERYTHING, ErasureReason.COMMAND
        await core.erasure.erase(OPERATOR, organization_id, encounter_id, scope=scope, reason=reason)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
