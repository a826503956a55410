"""Consult notes, documents and answered forms as rows: what they say is sealed, each under a key of its own."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, Select, Update, exists, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from osler.kernel.engine_record import EngineRecord
from osler.kernel.errors import ConflictError, ErasedError, NotFoundError
from osler.kernel.transactions import Transaction
from osler.notes.model import (
    ContentType,
    Document,
    FormAnswers,
    NoteVersion,
    RequestTexts,
    Section,
    TextStatus,
    WrittenText,
)
from osler.storage.database import connection_of
from osler.storage.repositories.sealed import SealedRows, with_key
from osler.storage.tables.notes import documents, form_answers, notes

VERSIONS_LOOKED_AT: Final = 4
"""Versions of one encounter's note that are reckoned with, where notes of many encounters are wanted."""


class SqlNoteRepository:
    """Versions of consult notes. An erased one keeps its row and has no content."""

    def __init__(self, rows: SealedRows) -> None:
        self._rows = rows

    async def add(self, transaction: Transaction, note: NoteVersion) -> None:
        """Raises ConflictError if the encounter has that version already."""
        sealed = await self._rows.add(transaction, note.organization_id, notes, note.id, _note_content(note))
        values = {
            "id": note.id,
            "organization_id": note.organization_id,
            "encounter_id": note.encounter_id,
            "version": note.version,
            "created_at": note.created_at,
            "author_id": note.author_id,
            **_changeable(note),
            **sealed,
        }
        try:
            await connection_of(transaction).execute(insert(notes).values(values))
        except IntegrityError:
            raise ConflictError("The encounter has that version of its note already; read it again.") from None

    async def current(self, transaction: Transaction, organization_id: str, encounter_id: str) -> NoteVersion | None:
        """Return the encounter's highest version, None before there is one."""
        query = _of_encounter(organization_id, encounter_id).order_by(notes.c.version.desc()).limit(1)
        row = (await connection_of(transaction).execute(query)).one_or_none()
        return None if row is None else self._note(row)

    async def get(self, transaction: Transaction, organization_id: str, note_id: str) -> NoteVersion:
        """Raises NotFoundError."""
        return await self._one(transaction, _note_of(organization_id, note_id))

    async def lock(self, transaction: Transaction, organization_id: str, note_id: str) -> NoteVersion:
        """As get, held against other writers. Raises NotFoundError."""
        return await self._one(transaction, _note_of(organization_id, note_id).with_for_update(of=notes))

    async def save(self, transaction: Transaction, note: NoteVersion) -> None:
        """Write what may change of a note. Raises ErasedError for a text whose key was destroyed."""
        sealed = await self._rows.reseal(transaction, note.organization_id, notes, note.id, _note_content(note))
        if sealed is None and note.content is not None:
            raise ErasedError("This note was erased for good.")
        await connection_of(transaction).execute(
            update(notes)
            .where(notes.c.organization_id == note.organization_id, notes.c.id == note.id)
            .values(**_changeable(note), sealed=sealed)
        )

    async def versions(
        self, transaction: Transaction, organization_id: str, encounter_id: str
    ) -> Sequence[NoteVersion]:
        """Return all versions, oldest first."""
        query = _of_encounter(organization_id, encounter_id).order_by(notes.c.version)
        return [self._note(row) for row in await connection_of(transaction).execute(query)]

    async def newest_of(
        self, transaction: Transaction, organization_id: str, encounter_ids: Sequence[str]
    ) -> Sequence[NoteVersion]:
        """Return the highest version of each of these encounters that has any."""
        later = notes.alias("later")
        query = with_key(notes).where(
            notes.c.organization_id == organization_id,
            notes.c.encounter_id.in_(encounter_ids),
            ~exists().where(
                later.c.organization_id == notes.c.organization_id,
                later.c.encounter_id == notes.c.encounter_id,
                later.c.version > notes.c.version,
            ),
        )
        return [self._note(row) for row in await connection_of(transaction).execute(query)]

    async def mark_stale(
        self, transaction: Transaction, organization_id: str, encounter_id: str, but_transcript_id: str
    ) -> None:
        """Mark the unsigned notes and documents that rest on another transcript than that one."""
        for table in (notes, documents):
            await connection_of(transaction).execute(
                update(table)
                .where(
                    table.c.organization_id == organization_id,
                    table.c.encounter_id == encounter_id,
                    table.c.transcript_id.is_not(None),
                    table.c.transcript_id != but_transcript_id,
                    table.c.signed_at.is_(None),
                )
                .values(stale=True)
            )

    async def mark_all_stale(self, transaction: Transaction, organization_id: str, encounter_id: str) -> None:
        """Mark the unsigned notes and documents that the writer made."""
        for statement in sources_changed(organization_id, encounter_id):
            await connection_of(transaction).execute(statement)

    async def of_author(
        self, transaction: Transaction, organization_id: str, user_id: str, limit: int
    ) -> Sequence[NoteVersion]:
        """Return the notes that a user edited or signed, newest first, of each encounter the newest such one."""
        query = (
            with_key(notes)
            .where(
                notes.c.organization_id == organization_id,
                or_(notes.c.author_id == user_id, notes.c.signed_by == user_id),
                notes.c.status == TextStatus.CREATED.value,
                notes.c.sealed.is_not(None),
            )
            .order_by(notes.c.created_at.desc(), notes.c.version.desc())
            .limit(limit * VERSIONS_LOOKED_AT)
        )
        newest: dict[str, Row[Any]] = {}
        for row in await connection_of(transaction).execute(query):
            newest.setdefault(row.encounter_id, row)
        return [self._note(row) for row in list(newest.values())[:limit]]

    async def sign(
        self, transaction: Transaction, organization_id: str, encounter_id: str, user_id: str, at: datetime
    ) -> Sequence[str]:
        """Sign the highest created note and the created documents that are unsigned; returns their ids."""
        connection = connection_of(transaction)
        newest = (
            select(notes.c.id)
            .where(
                notes.c.organization_id == organization_id,
                notes.c.encounter_id == encounter_id,
                notes.c.status == TextStatus.CREATED.value,
                notes.c.sealed.is_not(None),
            )
            .order_by(notes.c.version.desc())
            .limit(1)
        )
        signed: list[str] = []
        for table, wanted in ((notes, notes.c.id.in_(newest)), (documents, documents.c.sealed.is_not(None))):
            statement = (
                update(table)
                .where(
                    table.c.organization_id == organization_id,
                    table.c.encounter_id == encounter_id,
                    table.c.status == TextStatus.CREATED.value,
                    table.c.signed_at.is_(None),
                    wanted,
                )
                .values(signed_at=at, signed_by=user_id)
                .returning(table.c.id)
            )
            signed += (await connection.execute(statement)).scalars()
        return signed

    async def _one(self, transaction: Transaction, query: Select[Any]) -> NoteVersion:
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such note.")
        return self._note(row)

    def _note(self, row: Row[Any]) -> NoteVersion:
        sealed = self._rows.open(row, row.organization_id, notes, row.id)
        return NoteVersion(
            id=row.id,
            organization_id=row.organization_id,
            encounter_id=row.encounter_id,
            version=row.version,
            created_at=row.created_at,
            author_id=row.author_id,
            content=_load(sealed),
            **_request(sealed),
            **_common(row),
        )


class SqlDocumentRepository:
    """Generated documents and answered forms. An erased document keeps its row, and has neither name nor content."""

    def __init__(self, rows: SealedRows) -> None:
        self._rows = rows

    async def add(self, transaction: Transaction, document: Document) -> None:
        """Raises ConflictError if the encounter has a document of that index."""
        content = _named(document)
        sealed = await self._rows.add(transaction, document.organization_id, documents, document.id, content)
        values = {
            "id": document.id,
            "organization_id": document.organization_id,
            "encounter_id": document.encounter_id,
            "index": document.index,
            "created_at": document.created_at,
            **_changeable(document),
            **sealed,
        }
        try:
            await connection_of(transaction).execute(insert(documents).values(values))
        except IntegrityError:
            raise ConflictError("The encounter has a document of that index already; read them again.") from None

    async def get(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> Document:
        """Raises NotFoundError."""
        return await self._one(transaction, _document(organization_id, encounter_id, document_id))

    async def lock(
        self, transaction: Transaction, organization_id: str, encounter_id: str, document_id: str
    ) -> Document:
        """As get, held against other writers. Raises NotFoundError."""
        query = _document(organization_id, encounter_id, document_id).with_for_update(of=documents)
        return await self._one(transaction, query)

    async def save(self, transaction: Transaction, document: Document) -> None:
        """Write what may change of a document. Raises ErasedError for a text whose key was destroyed."""
        content = _named(document)
        sealed = await self._rows.reseal(transaction, document.organization_id, documents, document.id, content)
        if sealed is None and document.content is not None:
            raise ErasedError("This document was erased for good.")
        await connection_of(transaction).execute(
            update(documents)
            .where(documents.c.organization_id == document.organization_id, documents.c.id == document.id)
            .values(**_changeable(document), sealed=sealed)
        )

    async def list(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Sequence[Document]:
        """Return the encounter's documents by index."""
        query = (
            with_key(documents)
            .where(documents.c.organization_id == organization_id, documents.c.encounter_id == encounter_id)
            .order_by(documents.c.index)
        )
        return [self._read(row) for row in await connection_of(transaction).execute(query)]

    async def of_encounters(
        self, transaction: Transaction, organization_id: str, encounter_ids: Sequence[str]
    ) -> Sequence[Document]:
        """Return the documents of many encounters by index."""
        query = (
            with_key(documents)
            .where(documents.c.organization_id == organization_id, documents.c.encounter_id.in_(encounter_ids))
            .order_by(documents.c.index)
        )
        return [self._read(row) for row in await connection_of(transaction).execute(query)]

    async def add_answers(self, transaction: Transaction, answers: FormAnswers) -> None:
        """Write the answers of a form."""
        content = dict(answers.answers)
        sealed = await self._rows.add(transaction, answers.organization_id, form_answers, answers.id, content)
        values = {
            "id": answers.id,
            "organization_id": answers.organization_id,
            "encounter_id": answers.encounter_id,
            "created_at": answers.created_at,
            "transcript_id": answers.transcript_id,
            **sealed,
        }
        await connection_of(transaction).execute(insert(form_answers).values(values))

    async def answers(self, transaction: Transaction, organization_id: str, encounter_id: str) -> Sequence[FormAnswers]:
        """Return the answered forms, oldest first; erased ones are left out."""
        query = (
            with_key(form_answers)
            .where(form_answers.c.organization_id == organization_id, form_answers.c.encounter_id == encounter_id)
            .order_by(form_answers.c.created_at, form_answers.c.id)
        )
        found = []
        for row in await connection_of(transaction).execute(query):
            content = self._rows.open(row, row.organization_id, form_answers, row.id)
            if content is not None:
                found.append(
                    FormAnswers(
                        row.id, row.organization_id, row.encounter_id, row.created_at, content, row.transcript_id
                    )
                )
        return found

    async def _one(self, transaction: Transaction, query: Select[Any]) -> Document:
        row = (await connection_of(transaction).execute(query)).one_or_none()
        if row is None:
            raise NotFoundError("There is no such document.")
        return self._read(row)

    def _read(self, row: Row[Any]) -> Document:
        sealed = self._rows.open(row, row.organization_id, documents, row.id) or {"name": "", "content": None}
        return Document(
            id=row.id,
            organization_id=row.organization_id,
            encounter_id=row.encounter_id,
            index=row._mapping["index"],  # a row has a method of that name
            name=sealed["name"],
            created_at=row.created_at,
            content=_load(sealed["content"]),
            **_request(sealed),
            **_common(row),
        )


def _of_encounter(organization_id: str, encounter_id: str) -> Select[Any]:
    return with_key(notes).where(notes.c.organization_id == organization_id, notes.c.encounter_id == encounter_id)


def _note_of(organization_id: str, note_id: str) -> Select[Any]:
    return with_key(notes).where(notes.c.organization_id == organization_id, notes.c.id == note_id)


def _document(organization_id: str, encounter_id: str, document_id: str) -> Select[Any]:
    return with_key(documents).where(
        documents.c.organization_id == organization_id,
        documents.c.encounter_id == encounter_id,
        documents.c.id == document_id,
    )


def _changeable(text: NoteVersion | Document) -> dict[str, Any]:
    return {
        "status": text.status.value,
        "template": text.template,
        "voice_style": text.voice_style,
        "transcript_id": text.transcript_id,
        "engine": text.engine.to_json() if text.engine else None,
        "options": dict(text.options),
        "completed_at": text.completed_at,
        "signed_at": text.signed_at,
        "signed_by": text.signed_by,
        "stale": text.stale,
        "failure": text.failure,
    }


def _common(row: Row[Any]) -> dict[str, Any]:
    """Return the fields that notes and documents share."""
    return {
        "status": TextStatus(row.status),
        "template": row.template,
        "voice_style": row.voice_style,
        "transcript_id": row.transcript_id,
        "engine": EngineRecord.from_json(row.engine) if row.engine else None,
        "options": row.options,
        "completed_at": row.completed_at,
        "signed_at": row.signed_at,
        "signed_by": row.signed_by,
        "stale": row.stale,
        "failure": row.failure,
    }


def _note_content(note: NoteVersion) -> dict[str, Any] | None:
    """Return what is sealed of a note; nothing while there is nothing."""
    return {**(_dump(note.content) or {}), **_asked(note)} or None


def _named(document: Document) -> dict[str, Any]:
    return {"name": document.name, "content": _dump(document.content), **_asked(document)}


def _asked(text: NoteVersion | Document) -> dict[str, Any]:
    """Return the request's own texts and the pieces written so far, as far as there are any."""
    asked: dict[str, Any] = {}
    if text.texts != RequestTexts():
        asked["request"] = {"template": text.texts.template, "addition": text.texts.addition}
    if text.pieces:
        asked["pieces"] = list(text.pieces)
    return asked


def _request(sealed: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the fields that :func:`_asked` wrote."""
    asked = sealed or {}
    return {"texts": RequestTexts(**asked.get("request", {})), "pieces": tuple(asked.get("pieces", ()))}


def _dump(content: WrittenText | None) -> dict[str, Any] | None:
    if content is None:
        return None
    return {
        "text": content.text,
        "content_type": content.content_type.value,
        "heading": content.heading,
        "sections": [section.to_json() for section in content.sections],
        "ends": list(content.ends),
    }


def _load(content: Mapping[str, Any] | None) -> WrittenText | None:
    if content is None or "text" not in content:
        return None
    return WrittenText(
        text=content["text"],
        content_type=ContentType(content["content_type"]),
        heading=content["heading"],
        sections=tuple(Section.from_json(section) for section in content["sections"]),
        ends=tuple(content.get("ends", ())),
    )


def sources_changed(organization_id: str, encounter_id: str) -> tuple[Update, ...]:
    """Return what marks the unsigned notes and documents of an encounter, if the writer made them, as stale."""
    return tuple(
        update(table)
        .where(
            table.c.organization_id == organization_id,
            table.c.encounter_id == encounter_id,
            table.c.status == TextStatus.CREATED.value,
            table.c.signed_at.is_(None),
            by_writer,
        )
        .values(stale=True)
        for table, by_writer in ((notes, notes.c.author_id.is_(None)), (documents, true()))
    )
