"""The ledger of erasures: one small object for each, outside the database, so that no restored backup undoes one."""

import hmac
import json
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from osler.encounters.model import Erasure, ErasureReason, ErasureScope
from osler.kernel.errors import CorruptedError
from osler.storage.blobs.objects import ObjectStore
from osler.storage.sealing.deployment import DeploymentSecret

LARGEST: Final = 1 << 20
"""Bytes; an entry has a few hundred."""

_SUFFIX: Final = ".json"
_EVER: Final = datetime.max.replace(tzinfo=UTC)


class StoredErasureLedger:
    """Implements :class:`osler.encounters.ports.ErasureLedger` on a place of objects of its own.

    An entry is ``{"erasure": {...}, "mac": "..."}`` under the erasure's id, the ``mac`` being HMAC-SHA256 under a key
    of the deployment's secret. Entries are never changed and never removed; ledgers of one deployment are joined by
    copying the entries of both.
    """

    def __init__(self, store: ObjectStore, secret: DeploymentSecret) -> None:
        """``store`` holds nothing else: a folder ``erasures``, or a bucket's prefix ``erasures/``."""
        self._store = store
        self._secret = secret

    async def append(self, erasure: Erasure) -> None:
        """Durable on return. Raises BlobsUnavailableError, StorageFullError."""
        text = _text(erasure)
        entry = json.dumps({"erasure": json.loads(text), "mac": self._secret.ledger_mac(text)}).encode()

        async def chunks() -> AsyncIterator[bytes]:
            yield entry

        await self._store.put(erasure.id + _SUFFIX, chunks())

    async def ids(self) -> Sequence[str]:
        """Return the ids of all erasures, in no order. Raises BlobsUnavailableError."""
        names = [name async for name in self._store.list(_EVER)]
        return [name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)]

    async def get(self, erasure_id: str) -> Erasure:
        """Raises BlobsUnavailableError, and CorruptedError for an entry that Osler did not write."""
        data, _ = await self._store.get(erasure_id + _SUFFIX, 0, LARGEST)
        try:
            entry = json.loads(bytes(data))
            erasure = _erasure(entry["erasure"])
            mac = str(entry["mac"])
        except (ValueError, KeyError, TypeError):
            raise CorruptedError(_refusal(erasure_id)) from None
        expected = self._secret.ledger_mac(_text(erasure))
        if erasure.id != erasure_id or not hmac.compare_digest(expected.encode(), mac.encode()):
            raise CorruptedError(_refusal(erasure_id))
        return erasure

    async def all(self) -> Sequence[Erasure]:
        """Return all, oldest first. Raises BlobsUnavailableError, CorruptedError."""
        return sorted([await self.get(each) for each in await self.ids()], key=lambda erasure: erasure.at)


def _text(erasure: Erasure) -> bytes:
    """Return the canonical bytes of an erasure."""
    return json.dumps(
        {
            "id": erasure.id,
            "organization_id": erasure.organization_id,
            "subject_id": erasure.subject_id,
            "scope": erasure.scope.value,
            "reason": erasure.reason.value,
            "at": erasure.at.isoformat(),
            "kept": list(erasure.kept),
        },
        sort_keys=True,
        separators=(",", ":"),
    ).encode()


def _erasure(data: dict[str, Any]) -> Erasure:
    return Erasure(
        id=str(data["id"]),
        organization_id=str(data["organization_id"]),
        subject_id=str(data["subject_id"]),
        scope=ErasureScope(data["scope"]),
        reason=ErasureReason(data["reason"]),
        at=datetime.fromisoformat(data["at"]),
        kept=tuple(map(str, data["kept"])),
    )


def _refusal(erasure_id: str) -> str:
    return (
        f"the erasure ledger's entry {erasure_id} is damaged or was not written by this deployment: put back the "
        "ledger as it was, or take the entry away if it is not yours"
    )
