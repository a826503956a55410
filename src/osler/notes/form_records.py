"""Forms of clients: answered from a visit, and kept as they were answered."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from osler.audit.model import Actor, AuditEvent
from osler.audit.ports import AuditTrail
from osler.encounters.model import EncounterState
from osler.encounters.ports import EncounterRepository
from osler.encounters.service import ERASED
from osler.kernel.clock import Clock
from osler.kernel.errors import ConflictError, ErasedError
from osler.kernel.ids import new_id
from osler.kernel.transactions import Database
from osler.notes.forms import Form, answered, evidence_to_json, given_answer
from osler.notes.gathering import SourceService
from osler.notes.model import FormAnswers
from osler.notes.ports import DocumentRepository, FormFiller

NOTHING = "There is nothing in this session to answer from; send audio, a note or a context document first."
_GONE: Final = "What was being answered from was erased or taken away meanwhile; ask again if there is anything left."


class FormService:
    """Answers forms. The engine works in a thread, and no transaction is held meanwhile."""

    def __init__(
        self,
        *,
        database: Database,
        sources: SourceService,
        answers: DocumentRepository,
        encounters: EncounterRepository,
        load_filler: Callable[[], FormFiller],
        audit: AuditTrail,
        clock: Clock,
    ) -> None:
        """``load_filler`` returns the engine, the same each time; it is called in a thread and may take long."""
        self._database = database
        self._sources = sources
        self._answers = answers
        self._encounters = encounters
        self._load_filler = load_filler
        self._audit = audit
        self._clock = clock

    async def answer(self, actor: Actor, organization_id: str, encounter_id: str, form: Form) -> FormAnswers:
        """Answer a form from the visit, and keep the answers with the transcript that they rest on.

        ``answers`` holds ``template`` (the tree, answered) and ``questionAnswers`` (the answers alone, in order).
        Whether the caller may see the encounter is not asked.

        Raises NotFoundError, ErasedError (also: something of what was answered from was erased meanwhile),
        ConflictError (there is nothing to answer from).
        """
        sources = await self._sources.gather(organization_id, encounter_id)
        if not sources.transcript.turns and not sources.others:
            raise ConflictError(NOTHING)
        day = date.fromisoformat(sources.facts["visit_date"])
        found = await asyncio.to_thread(lambda: self._load_filler().fill(sources, form.questions, day))
        answers: dict[str, dict[str, Any]] = {
            question.id: {
                "answer": given_answer(question, answer),
                "evidence": [evidence_to_json(e) for e in answer.evidence] if answer is not None else [],
            }
            for question, answer in zip(form.questions, found, strict=True)
        }
        kept = FormAnswers(
            id=new_id(),
            organization_id=organization_id,
            encounter_id=encounter_id,
            created_at=self._clock.now(),
            answers={"template": answered(form, answers), "questionAnswers": _listed(form, answers)},
            transcript_id=sources.transcript_id,
        )
        event = AuditEvent(
            organization_id=organization_id,
            actor=actor,
            action="form.answered",
            at=kept.created_at,
            subject={"encounter": encounter_id, "form": kept.id},
        )
        async with self._database.write() as transaction:
            encounter = await self._encounters.lock(transaction, organization_id, encounter_id)
            if encounter.state is EncounterState.ERASED:
                raise ErasedError(ERASED)
            if await self._sources.erased_since(transaction, organization_id, encounter_id, sources):
                raise ErasedError(_GONE)
            await self._answers.add_answers(transaction, kept)
            await self._audit.append(transaction, [event])
        return kept


def _listed(form: Form, answers: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [
        {
            "questionId": question.id,
            "question": question.text,
            "answerType": question.type.value,
            **answers[question.id],
        }
        for question in form.questions
    ]
