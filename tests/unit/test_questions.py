"""What the first words of an answer mean."""

import pytest

from osler.engines.grounded.questions import Answer, classify
from osler.notes.tokens import tokenize

ANSWERS = {
    "No.": Answer.NO,
    "Nope, nothing like that.": Answer.NO,
    "um , no , not that i 've noticed .": Answer.NO,
    "Not really.": Answer.NO,
    "Uh-uh.": Answer.NO,
    "mm-mm": Answer.NO,
    "I don't think so.": Answer.NO,
    "I haven't.": Answer.NO,
    "Yeah, no, I don't.": Answer.NO,
    "Thankfully, no.": Answer.NO,
    "Yes.": Answer.YES,
    "Oh yeah, all the time.": Answer.YES,
    "Mm-hmm.": Answer.YES,
    "uh-huh": Answer.YES,
    "A little bit.": Answer.YES,
    "Just when I climb stairs.": Answer.YES,
    "Well, sometimes.": Answer.YES,
    "I do, yes.": Answer.YES,
    "I don't know.": Answer.UNSURE,
    "I'm not sure.": Answer.UNSURE,
    "No, yeah, I do.": Answer.OTHER,
    "It started on Monday.": Answer.OTHER,
    "Penicillin.": Answer.OTHER,
    "": Answer.OTHER,
}


@pytest.mark.parametrize("said", ANSWERS)
def test_answer_is_understood(said: str) -> None:
    assert classify([token.norm for token in tokenize(said)])[0] is ANSWERS[said]
