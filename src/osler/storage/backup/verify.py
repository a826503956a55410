"""Reading a backup to its end without changing anything: is it whole, and can what it holds be opened?"""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from osler.kernel.blobs import ObjectKey
from osler.kernel.errors import BackupError, MasterKeyError
from osler.kernel.progress import Progress, silent
from osler.storage.backup.archive import DAMAGED, ArchiveReader
from osler.storage.backup.contents import Absence, Counts, Head, ObjectBegin, ObjectData, Rows, pieces
from osler.storage.blobs.vault import PLAIN
from osler.storage.repositories.secrets import NAME
from osler.storage.sealing.deployment import DeploymentSecret
from osler.storage.sealing.keys import KeyRing
from osler.storage.tables.sealing import deployment_secrets, object_keys


@dataclass(slots=True)
class Report:
    """What a backup holds. ``unreadable_keys``: object keys that no master key of the ring opens."""

    id: str
    master_key: str
    size: int
    """Bytes of the file."""
    head: Head
    counts: Counts
    secret: ObjectKey
    """The deployment's secret, wrapped."""
    unreadable_keys: int = 0
    objects_sealed_by_bucket: int = 0
    """Objects that Osler did not seal: outside of such a bucket they are readable."""
    masters: set[str] = field(default_factory=set)
    """Ids of the master keys that the keys in it are wrapped with."""

    @property
    def complete(self) -> bool:
        """Whether everything that rows refer to was there and can be opened."""
        return not self.unreadable_keys and not self.counts.absent.get(Absence.MISSING)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        created: datetime = self.head.created_at
        return {
            "backup_id": self.id,
            "master_key_id": self.master_key,
            "created_at": created.isoformat(),
            "osler": self.head.osler,
            "revision": self.head.revision,
            "database": self.head.database,
            "bytes": self.size,
            "rows": sum(self.counts.rows.values()),
            "tables": dict(self.counts.rows),
            "objects": self.counts.objects,
            "object_bytes": self.counts.object_bytes,
            "objects_listed": self.counts.absent.get(Absence.LISTED, 0),
            "objects_erased_meanwhile": self.counts.absent.get(Absence.ERASED, 0),
            "objects_missing": self.counts.absent.get(Absence.MISSING, 0),
            "keys_unreadable": self.unreadable_keys,
            "erasures": self.counts.erasures,
            "complete": self.complete,
        }


def verify(path: Path, ring: KeyRing, progress: Progress = silent) -> Report:
    """Read the whole file: every tag, the order and number of all it holds, every value, every wrapped key.

    For a worker thread. Raises UnreadableFileError, BackupError, MasterKeyError.
    """
    with ArchiveReader(path, ring) as archive:
        head: Head | None = None
        counts: Counts | None = None
        unreadable = 0
        masters: set[str] = set()
        secret: ObjectKey | None = None
        done = open_objects = 0
        for piece in pieces(archive):
            match piece:
                case Head():
                    head = piece
                case ObjectBegin():
                    open_objects += piece.id.startswith(PLAIN)
                case ObjectData():
                    done += len(piece.data)
                    progress("checking", done, archive.size)
                case Rows(deployment_secrets.name):
                    secret = _secret(piece, ring) or secret
                case Rows():
                    unreadable += _check_rows(piece, ring, masters)
                case Counts():
                    counts = piece
        if head is None or counts is None or secret is None:
            raise BackupError(DAMAGED)
        progress("checking", archive.size, archive.size)
        return Report(
            id=archive.key.id,
            master_key=archive.key.master,
            size=path.stat().st_size,
            head=head,
            counts=counts,
            secret=secret,
            unreadable_keys=unreadable,
            objects_sealed_by_bucket=open_objects,
            masters=masters,
        )


def _secret(rows: Rows, ring: KeyRing) -> ObjectKey | None:
    """Return the deployment's secret. Raises MasterKeyError if it does not open: without it nothing works."""
    for row in rows.values():
        if row["name"] == NAME:
            secret = ObjectKey(row["key_id"], row["wrapped"], row["master"])
            DeploymentSecret.open(ring, secret)
            return secret
    return None


def _check_rows(rows: Rows, ring: KeyRing, masters: set[str]) -> int:
    """Read every value; open every wrapped key. Return how many cannot be opened."""
    unreadable = 0
    for row in rows.values():
        if rows.table == object_keys.name and row["wrapped"] is not None:
            masters.add(row["master"])
            try:
                ring.open_key(ObjectKey(row["id"], row["wrapped"], row["master"]))
            except MasterKeyError:
                unreadable += 1
    return unreadable
