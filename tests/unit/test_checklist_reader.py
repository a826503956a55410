"""The reader of checklists: what was said is found with its words, and what merely sounds like it is not."""

import pytest
from osler_evals.checklist_items import Visit, judge, visits

from osler.engines.grounded.checklist.reader import GroundedChecklistReader
from osler.notes.checklist import ChecklistItem, ChecklistName
from osler.speech.model import Transcript, Turn, Word

READER = GroundedChecklistReader()
ROLES = {"D": "clinician", "P": "patient", "M": "other 1"}


def visit(*lines: str) -> Transcript:
    return Transcript(tuple(Turn(ROLES[line[0]], line[3:]) for line in lines))


def read(*lines: str) -> dict[str, ChecklistItem]:
    return {item.name.value: item for item in READER.read(visit(*lines))}


def found(*lines: str) -> set[str]:
    return {name for name, item in read(*lines).items() if item.found}


def test_every_item_is_told_once_in_order_whatever_was_said() -> None:
    for transcript in (Transcript(()), visit("D: "), visit("D: Hello?"), *(each.transcript for each in visits("dev"))):
        items = READER.read(transcript)
        assert [item.name for item in items] == list(ChecklistName)
        assert items == READER.read(transcript)
        for item in items:
            assert bool(item.evidence) is (item.found or item.refused)
            assert item == ChecklistItem.from_json(item.to_json())
            for piece in item.evidence:
                assert transcript.turns[piece.turn].text[piece.start : piece.end] == piece.quote != ""


@pytest.mark.parametrize("each", visits("dev"), ids=lambda each: each.name)
def test_nothing_is_found_that_its_visit_does_not_hold(each: Visit) -> None:
    for name, counts in judge(READER.read(each.transcript), each).items():
        assert (counts.false, counts.missed, counts.misplaced) == (0, 0, 0), f"{name}: {counts.faults}"


def test_evidence_has_the_seconds_of_its_words() -> None:
    text = "Any allergies?"
    words = (Word("Any", "Any", 1.0, 1.2, 0.9, 0), Word("allergies?", "allergies?", 1.2, 1.9, 0.9, 4))
    asked, replied = Turn("clinician", text, 1.0, 1.9, words), Turn("patient", "No.", 2.5, 2.8)
    item = READER.read(Transcript((asked, replied)))[2]
    assert [(each.turn, each.audio_start, each.audio_end) for each in item.evidence] == [(0, 1.0, 1.9), (1, 2.5, 2.8)]


CONSENT = "D: I record our visits for my notes. Is that okay with you?"


@pytest.mark.parametrize("yes", ["Yes.", "Sure, go ahead.", "That's fine.", "No problem.", "I don't mind at all."])
def test_consent_that_was_given_is_found(yes: str) -> None:
    item = read(CONSENT, f"P: {yes}")["consent"]
    assert item.found and not item.refused and item.evidence[-1].quote.startswith(yes.rstrip("."))


@pytest.mark.parametrize("no", ["No.", "I'd rather not.", "I'm not comfortable with that.", "Please don't."])
def test_consent_that_was_refused_is_not_found_and_says_so(no: str) -> None:
    item = read(CONSENT, f"P: {no}")["consent"]
    assert item.refused and not item.found and item.evidence


def test_a_no_to_do_you_mind_gives_and_the_last_word_counts() -> None:
    asked = "D: Do you mind if I record this?"
    assert read(asked, "P: No, that's fine.")["consent"].found
    assert read(asked, "P: Yes, I do mind.")["consent"].refused
    assert read(asked, "P: No.", "D: Good.", "P: Please stop the recording now.")["consent"].refused
    refused_first = (CONSENT, "P: No.", "D: And without the sound, may I record it that way?", "P: Yes, you may.")
    assert read(*refused_first)["consent"].found
    both = (CONSENT, "P: No.", "D: Do you want to have the flu shot today?", "P: Yes, please.")
    assert not read(*both)["consent"].found, "leave for one thing is none for another"


@pytest.mark.parametrize(
    "lines",
    [
        ("D: Is it okay if I take a look at your throat?", "P: Sure."),
        ("D: I record this for my notes. Is that okay?", "D: So what brings you in?", "P: My knee."),
        ("D: I want you to record your blood pressure at home, okay?", "P: Okay."),
        ("D: Hi Martha, how are you?", "P: Fine."),
        ("D: What's your husband's name?", "P: Peter Lang."),
        ("D: What's the name of that pill?", "P: Something with a B."),
        ("P: My son is allergic to peanuts.", "D: I see."),
        ("P: My allergies are acting up.", "D: It is the pollen."),
        ("D: You may become allergic to it.", "P: Oh."),
        ("D: Any allergies?", "P: Could you sign this form first?"),
        ("D: Have you taken anything for the cough?", "P: Ibuprofen."),
        ("D: I'd like to start you on lisinopril.", "P: Okay."),
        ("D: Is your wife taking any medicines?", "P: Yes, aspirin."),
        ("P: I have to follow up with my boss.", "D: Okay."),
        ("D: You are here for your follow-up.", "P: Yes."),
        ("D: It's good to see you back.", "P: Thanks."),
        ("D: You don't need to come back.", "P: Great."),
        ("P: Bye.", "D: Dictating. The patient has no known drug allergies. Follow up in two weeks. He takes aspirin."),
    ],
)
def test_what_merely_sounds_like_an_item_is_none(lines: tuple[str, ...]) -> None:
    assert found(*lines) == set()


def test_a_parent_speaks_for_a_child() -> None:
    lines = ("D: What is his date of birth?", "M: The fifth of May, 2020.", "D: Is he allergic to anything?", "M: No.")
    assert found(*lines) == {"identity", "allergies"}
    assert found(*(line.replace("M:", "P:") for line in lines)) == set(), "and of somebody else he says nothing"


def test_a_long_sentence_is_quoted_where_it_holds_the_item() -> None:
    item = read("D: " + "so we talked and " * 60 + "I will see you back in two weeks " + "and so on " * 60, "P: Okay.")
    for piece in item["follow_up_given"].evidence:
        assert len(piece.quote.split()) <= 45
    assert any("see you back" in piece.quote for piece in item["follow_up_given"].evidence)
