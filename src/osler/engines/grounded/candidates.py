"""Every sentence that a note could hold of what was said, each with the utterances that it comes from."""

from dataclasses import dataclass

from osler.engines.grounded.rewriting import Reference, polarity, rewrite, statement_of, topic_answer
from osler.engines.grounded.utterances import Utterance, utterances
from osler.speech.model import Transcript

STATED, CONFIRMED, DENIED, ANSWERED = "stated", "confirmed", "denied", "answered"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A sentence, what it comes from (a question goes before its answer), and how it came about.

    ``asked`` is the question that a patient's statement replies to, "" where there is none.
    """

    text: str
    sources: tuple[Utterance, ...]
    kind: str
    asked: str = ""

    @property
    def position(self) -> float:
        """0..1: where in the visit it was said."""
        return self.sources[-1].position

    @property
    def by_clinician(self) -> bool:
        """Whether the clinician stated it; answers are the patient's."""
        return self.sources[-1].by_clinician

    @property
    def order(self) -> int:
        """Number of its last utterance: the order of the visit."""
        return self.sources[-1].index


def candidates(transcript: Transcript, reference: Reference) -> list[Candidate]:
    """Return the candidate sentences in the order of the visit."""
    said = utterances(transcript)
    found: list[Candidate] = []
    question: Utterance | None = None
    fresh = False
    for utterance in said:
        if utterance.is_question:
            if utterance.by_clinician:
                question, fresh = utterance, True
            continue
        if question is not None and fresh and not utterance.by_clinician:
            fresh = False
            answered = _answer(question, utterance, reference)
            if answered is not None:
                found.append(answered)
                if answered.kind == ANSWERED:
                    continue
        elif question is not None and utterance.by_clinician and utterance.turn != question.turn:
            question = None
        text = rewrite(utterance, reference)
        if text is not None:
            asked = question.text if question is not None and not utterance.by_clinician else ""
            found.append(Candidate(text, (utterance,), STATED, asked))
    return found


def _answer(question: Utterance, reply: Utterance, reference: Reference) -> Candidate | None:
    yes = polarity(reply.text)
    if yes is None:
        text, kind = topic_answer(question.text, reply.text, reference), ANSWERED
    else:
        text, kind = statement_of(question.text, yes, reference), CONFIRMED if yes else DENIED
    return Candidate(text, (question, reply), kind) if text is not None else None
