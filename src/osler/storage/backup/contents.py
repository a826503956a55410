"""What stands in a backup: rows of any database as JSON, objects as they were stored, erasures, and the counts of all.

Frames, in this order: ``H`` what the backup is; per table ``T`` its name and columns and ``R`` rows (any number); per
object ``B`` its id, ``D`` its stored bytes (any number) and ``E`` how many they were, or ``M`` why it is not in the
backup; ``L`` erasures; ``Z`` how many there are of each.
"""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import JSON, BigInteger, Boolean, Double, Integer, LargeBinary, Text
from sqlalchemy.types import TypeEngine

from osler.encounters.model import Erasure, ErasureReason, ErasureScope
from osler.kernel.errors import BackupError
from osler.storage.backup.archive import DAMAGED, ArchiveReader
from osler.storage.tables.metadata import Time

BLOB_COLUMN: Final = "blob_id"
"""A table with this column owns objects in the blob store."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the backup is. ``revision`` is that of its tables (Alembic's); ``digest_key`` names the key of API keys."""

    osler: str
    revision: str
    created_at: datetime
    database: str
    objects: bool
    """Whether the objects are in the backup; else it only lists them."""
    digest_key: str | None


@dataclass(frozen=True, slots=True)
class Column:
    """A column by the type that both databases have for it."""

    name: str
    kind: str


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table, as they are in JSON: one list per row, in the order of ``columns``."""

    table: str
    columns: tuple[Column, ...]
    rows: Sequence[Sequence[Any]]

    def values(self) -> Iterator[dict[str, Any]]:
        """Yield each row as SQLAlchemy takes it, by :func:`sql_type` of its columns. Raises BackupError."""
        readers = [(column.name, _READERS[column.kind]) for column in self.columns]
        try:
            for row in self.rows:
                yield {
                    name: None if value is None else reader(value)
                    for (name, reader), value in zip(readers, row, strict=True)
                }
        except (ValueError, TypeError):
            raise BackupError(DAMAGED) from None


class Absence(StrEnum):
    """Why an object that rows refer to is not in the backup."""

    LISTED = "listed"
    """The backup was asked to list objects only: they are kept elsewhere."""
    ERASED = "erased"
    """It was erased or deleted while the backup was being written."""
    MISSING = "missing"
    """It is gone from the blob store, though a row refers to it: a loss."""


@dataclass(frozen=True, slots=True)
class ObjectBegin:
    """An object's id; its stored bytes follow."""

    id: str


@dataclass(frozen=True, slots=True)
class ObjectData:
    """Some of an object's stored bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class ObjectEnd:
    """The object is complete."""

    id: str
    size: int


@dataclass(frozen=True, slots=True)
class ObjectAbsent:
    """An object that is not in the backup."""

    id: str
    why: Absence


@dataclass(frozen=True, slots=True)
class Erasures:
    """Some entries of the erasure ledger."""

    erasures: tuple[Erasure, ...]


@dataclass(slots=True)
class Counts:
    """How much there is. ``references`` is a digest of the ids of all objects, in order of the rows."""

    rows: dict[str, int] = field(default_factory=dict)
    objects: int = 0
    object_bytes: int = 0
    absent: dict[str, int] = field(default_factory=dict)
    erasures: int = 0
    references: str = ""


Piece = Head | Rows | ObjectBegin | ObjectData | ObjectEnd | ObjectAbsent | Erasures | Counts


def kind_of(column_type: TypeEngine[Any]) -> str:
    """Name a column's type as a backup writes it. Raises TypeError for a type that none has a name for."""
    match column_type:
        case Time():
            return "time"
        case Boolean():
            return "boolean"
        case Integer():  # BigInteger too
            return "integer"
        case Double():
            return "double"
        case LargeBinary():
            return "bytes"
        case Text():
            return "text"
        case JSON():
            return "json"
    raise TypeError(f"a backup has no name for the column type {column_type!r}")


def sql_type(kind: str) -> TypeEngine[Any]:
    """Return the type by which a column of that kind is written."""
    return _TYPES[kind]


def to_json(kind: str) -> Callable[[Any], Any] | None:
    """Return what turns a value that was read into JSON; None where it is JSON as it stands."""
    return _WRITERS.get(kind)


_TYPES: Final[Mapping[str, TypeEngine[Any]]] = {
    "time": Time(),
    "boolean": Boolean(),
    "integer": BigInteger(),
    "double": Double(),
    "bytes": LargeBinary(),
    "text": Text(),
    # An absent value and a JSON null are two things; JSON.NULL says the second.
    "json": JSON(none_as_null=True),
}
_WRITERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "time": datetime.isoformat,
    "bytes": lambda value: base64.b64encode(value).decode(),
}


def _same(value: Any) -> Any:
    return value


def _json(text: str) -> Any:
    value = json.loads(text)
    return JSON.NULL if value is None else value


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "time": datetime.fromisoformat,
    "boolean": _same,
    "integer": _same,
    "double": float,
    "bytes": lambda value: base64.b64decode(value, validate=True),
    "text": _same,
    "json": _json,
}


def pieces(archive: ArchiveReader) -> Iterator[Piece]:
    """Yield all that stands in a backup, checked for order and completeness as it goes; :class:`Counts` last.

    What is missing from the counts, or is there twice, shows only at the end. Raises BackupError.
    """
    try:
        yield from _Reading().pieces(archive)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BackupError(DAMAGED) from None


_STAGES: Final = {b"T": 1, b"R": 1, b"B": 2, b"D": 2, b"E": 2, b"M": 2, b"L": 3, b"Z": 4}
_LAST: Final = 4


class _Reading:
    """The state of one reading."""

    def __init__(self) -> None:
        self._counts = Counts()
        self._columns: tuple[Column, ...] | None = None
        self._table = ""
        self._object: str | None = None
        self._object_size = 0
        self._referred = hashlib.sha256()
        self._found = hashlib.sha256()

    def pieces(self, archive: ArchiveReader) -> Iterator[Piece]:
        frames = archive.frames()
        kind, payload = next(frames, (b"", b""))
        if kind != b"H":
            raise BackupError(DAMAGED)
        head = json.loads(payload)
        yield Head(**{**head, "created_at": datetime.fromisoformat(head["created_at"])})
        stage = 0
        for kind, payload in frames:
            # Tables, then objects, then erasures, then the counts, and nothing after them.
            now = _STAGES[kind]
            if now < stage or stage == _LAST:
                raise BackupError(DAMAGED)
            stage = now
            piece = self._piece(kind, payload)
            if piece is not None:
                yield piece
        if stage != _LAST:
            raise BackupError(DAMAGED)

    def _piece(self, kind: bytes, payload: bytes) -> Piece | None:
        if (self._object is not None) != (kind in (b"D", b"E")):
            raise BackupError(DAMAGED)
        match kind:
            case b"D":
                self._object_size += len(payload)
                return ObjectData(payload)
            case b"R":
                return self._rows(json.loads(payload))
            case b"L":
                erasures = tuple(_erasure(each) for each in json.loads(payload))
                self._counts.erasures += len(erasures)
                return Erasures(erasures)
        fields = json.loads(payload)
        match kind:
            case b"T":
                self._table = fields["table"]
                self._columns = tuple(Column(name, column_kind) for name, column_kind in fields["columns"])
                if self._table in self._counts.rows or any(c.kind not in _READERS for c in self._columns):
                    raise BackupError(DAMAGED)
                self._counts.rows[self._table] = 0
                return None
            case b"B":
                self._object, self._object_size = fields["id"], 0
                return ObjectBegin(fields["id"])
            case b"E":
                return self._object_end(fields["size"])
            case b"M":
                absent = ObjectAbsent(fields["id"], Absence(fields["why"]))
                self._found.update(_line(absent.id))
                self._counts.absent[absent.why] = self._counts.absent.get(absent.why, 0) + 1
                return absent
        return self._end(Counts(**fields))

    def _rows(self, rows: list[list[Any]]) -> Rows:
        if self._columns is None:
            raise BackupError(DAMAGED)
        self._counts.rows[self._table] += len(rows)
        for blob_id in referred(self._columns, rows):
            self._referred.update(_line(blob_id))
        return Rows(self._table, self._columns, rows)

    def _object_end(self, size: int) -> ObjectEnd:
        if self._object is None or size != self._object_size:
            raise BackupError(DAMAGED)
        self._found.update(_line(self._object))
        self._counts.objects += 1
        self._counts.object_bytes += size
        end = ObjectEnd(self._object, size)
        self._object = None
        return end

    def _end(self, counts: Counts) -> Counts:
        self._counts.references = self._referred.hexdigest()
        if counts != self._counts or self._found.digest() != self._referred.digest():
            raise BackupError(DAMAGED)
        return counts


class References:
    """The digest of the ids of objects, as the counts hold it."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, blob_id: str) -> None:
        """Take the next id."""
        self._digest.update(_line(blob_id))

    def hexdigest(self) -> str:
        """Return the digest of all ids taken."""
        return self._digest.hexdigest()


def referred(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Yield the ids of the objects that rows own."""
    for index, column in enumerate(columns):
        if column.name == BLOB_COLUMN:
            yield from (row[index] for row in rows if row[index] is not None)


def erasure_to_json(erasure: Erasure) -> dict[str, Any]:
    """Return an erasure in plain JSON types."""
    return {**asdict(erasure), "at": erasure.at.isoformat()}


def _erasure(fields: Mapping[str, Any]) -> Erasure:
    return Erasure(
        **{
            **fields,
            "scope": ErasureScope(fields["scope"]),
            "reason": ErasureReason(fields["reason"]),
            "at": datetime.fromisoformat(fields["at"]),
            "kept": tuple(fields["kept"]),
        }
    )


def _line(blob_id: str) -> bytes:
    return blob_id.encode() + b"\n"
