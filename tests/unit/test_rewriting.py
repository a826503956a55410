"""What was said, as it is written: third person, statements, plans; and what is not written at all."""

import pytest

from osler.engines.grounded.answers import polarity, statement_of, topic_answer
from osler.engines.grounded.candidates import candidates
from osler.engines.grounded.rewriting import FEMALE, MALE, NEUTRAL, reference_of, rewrite
from osler.engines.grounded.utterances import Utterance, utterances
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn


def said(speaker: str, text: str) -> Utterance:
    return Utterance(0, 0, len(text), text, speaker, 0.5, 0)


@pytest.mark.parametrize(
    ("speech", "written"),
    [
        ("i , i just feel out of sorts lately .", "The patient feels out of sorts lately."),
        (
            "Um, I've had, uh, some diarrhea for the last three days.",
            "The patient has had some diarrhea for the last 3 days.",
        ),
        ("yeah , i do n't smoke", "The patient does not smoke."),
        ("no , i did n't get the booster", "The patient did not get the booster."),
        ("So I take lisinopril twenty milligrams every morning.", "The patient takes lisinopril 20 mg every morning."),
        ("my back hurts when i sit down", "The patient's back hurts when they sit down."),
    ],
)
def test_a_patient_is_written_in_the_third_person_past_the_hesitations(speech: str, written: str) -> None:
    assert rewrite(said(PATIENT, speech), NEUTRAL) == written


@pytest.mark.parametrize(
    ("speech", "written"),
    [
        ("i'm gon na go ahead and increase your lasix to 80 mg", "Increase lasix to 80 mg."),
        (
            "So I'd like you to, um, check your blood pressure at home every day.",
            "Check blood pressure at home every day.",
        ),
        ("let's go ahead and order a lipid panel , okay ?", "Order a lipid panel."),
        (
            "i want you to continue the metformin five hundred milligrams twice a day",
            "Continue the metformin 500 mg twice a day.",
        ),
        ("i'm going to send you to physical therapy", "Refer to physical therapy."),
    ],
)
def test_an_intention_becomes_an_imperative(speech: str, written: str) -> None:
    assert rewrite(said(CLINICIAN, speech), NEUTRAL) == written


@pytest.mark.parametrize(
    ("speech", "written"),
    [
        ("i do n't appreciate any murmurs", "No murmurs."),
        ("there is some tenderness over the right lower quadrant", "Tenderness over the right lower quadrant."),
        ("okay your lungs are clear", "The lungs are clear."),
        ("your blood pressure is one forty five over ninety two", "The blood pressure is 145/92."),
        ("there are no masses on the right", "No masses on the right."),
    ],
)
def test_an_examination_is_cut_to_its_finding(speech: str, written: str) -> None:
    assert rewrite(said(CLINICIAN, speech), NEUTRAL) == written


@pytest.mark.parametrize(
    ("speaker", "speech"),
    [
        (CLINICIAN, "hey , dragon ? show me the blood pressure ."),
        (CLINICIAN, "let me take a listen to your heart and lungs"),
        (CLINICIAN, "it is"),
        (CLINICIAN, "how are you ?"),
        (CLINICIAN, "i love basketball"),
        (PATIENT, "mm-hmm ."),
        (PATIENT, "thank you so much doctor"),
        (PATIENT, "i do ."),
        (PATIENT, "of the pain"),
        (PATIENT, "you got it"),
    ],
)
def test_what_says_nothing_alone_is_not_written(speaker: str, speech: str) -> None:
    assert rewrite(said(speaker, speech), NEUTRAL) is None


@pytest.mark.parametrize(
    ("question", "answer", "written"),
    [
        ("Any fevers or chills?", "No.", "The patient denies fevers or chills."),
        ("have you had any chest pain ?", "yeah , a little .", "The patient reports chest pain."),
        ("Do you smoke?", "No, never.", "The patient does not smoke."),
        ("are you staying hydrated ?", "yes .", "The patient is staying hydrated."),
        (
            "have you been traveling at all recently ?",
            "uh , no .",
            "The patient has not been traveling at all recently.",
        ),
    ],
)
def test_an_answered_question_becomes_a_statement(question: str, answer: str, written: str) -> None:
    yes = polarity(answer)
    assert yes is not None
    assert statement_of(question, yes, NEUTRAL) == written


def test_a_yes_to_one_of_several_is_no_statement_about_all() -> None:
    assert statement_of("any fever , chills or cough ?", True, NEUTRAL) is None


@pytest.mark.parametrize("answer", ["maybe", "i do have a cough", "well it depends", "three days"])
def test_an_answer_that_is_neither_yes_nor_no_is_not_taken_for_one(answer: str) -> None:
    assert polarity(answer) is None


def test_a_short_answer_stands_behind_what_was_asked() -> None:
    assert (
        topic_answer("how long has this been going on for ?", "about three weeks", NEUTRAL)
        == "Duration: about 3 weeks."
    )
    assert (
        topic_answer("Where is the pain exactly?", "on the left side", NEUTRAL) == "Pain, location: on the left side."
    )


def test_a_short_answer_late_in_the_visit_needs_a_subject() -> None:
    assert topic_answer("And for how long?", "seven years", NEUTRAL, position=0.8) is None


@pytest.mark.parametrize(
    ("speech", "reference"),
    [
        ("so john is a 61-year-old male with back pain", MALE),
        ("Good morning, Mrs. Jones.", FEMALE),
        ("How can I help you today?", NEUTRAL),
        ("my sister is a 61-year-old female", NEUTRAL),
    ],
)
def test_he_and_she_are_written_only_where_the_visit_says_so(speech: str, reference: object) -> None:
    speaker = PATIENT if speech.startswith("my") else CLINICIAN
    assert reference_of(Transcript((Turn(speaker, speech),))) == reference


def test_utterances_lie_exactly_in_their_turns_and_do_not_overlap() -> None:
    transcript = Transcript(
        (
            Turn(
                CLINICIAN,
                "hi , john . okay so your lungs are clear and your heart is regular now let's order a chest x-ray",
            ),
            Turn(PATIENT, "Um… I've had “pain” – since Monday. It's naïve, I know!"),
        )
    )
    last: tuple[int, int] = (0, 0)
    for utterance in utterances(transcript):
        assert transcript.turns[utterance.turn].text[utterance.start : utterance.end] == utterance.text
        assert (utterance.turn, utterance.start) >= last
        last = (utterance.turn, utterance.end)


def test_a_no_that_the_patient_takes_back_is_no_denial() -> None:
    transcript = Transcript(
        (Turn(CLINICIAN, "Any vomiting at all?"), Turn(PATIENT, "Uh, no."), Turn(PATIENT, "I vomited at the start."))
    )
    texts = [c.text for c in candidates(utterances(transcript), NEUTRAL)]
    assert texts == ["The patient vomited at the start."]


def test_an_it_is_written_only_with_what_it_stands_for() -> None:
    asked = Transcript((Turn(CLINICIAN, "Where is the pain?"), Turn(PATIENT, "It comes and goes.")))
    unknown = Transcript((Turn(CLINICIAN, "Tell me more."), Turn(PATIENT, "It comes and goes.")))
    (resolved,) = candidates(utterances(asked), NEUTRAL)
    assert (resolved.text, resolved.inferred) == ("The pain comes and goes.", True)
    assert [s.turn for s in resolved.sources] == [0, 1]
    assert candidates(utterances(unknown), NEUTRAL) == []


@pytest.mark.parametrize(
    "speech",
    [
        "Go ahead and take a seat over there.",
        "Let's go through everything step by step.",
        "Let's do a few routine checks first, and then I'll decide.",
        "I'm just going to measure your weight and height.",
        "Please take off your jacket and step on the scale.",
        "Rest your arm on the table.",
        "I'll also update your chart with what you told me today.",
        "Let me pull up your records.",
        "Push against my hand.",
        "Make a fist, please.",
        "You must be Mom?",
        "I'll decide after that.",
        "My name is Doctor Lane.",
        "Let's get the basics before I continue with the history.",
        "You're okay, fine.",
    ],
)
def test_what_a_clinician_says_to_do_the_work_is_not_written(speech: str) -> None:
    assert rewrite(said(CLINICIAN, speech), NEUTRAL) is None


def test_measuring_at_home_is_a_plan_and_no_command() -> None:
    speech = "I'd like you to measure your blood pressure every morning."
    assert rewrite(said(CLINICIAN, speech), NEUTRAL) == "Measure blood pressure every morning."


@pytest.mark.parametrize(
    ("speech", "written"),
    [
        ("I'm also ordering a chest x-ray.", "Order a chest x-ray."),
        ("We're stopping the naproxen.", "Stop the naproxen."),
        (
            "Since you've been so tired, I'm going to check a thyroid panel.",
            "Check a thyroid panel, since the patient has been so tired.",
        ),
        (
            "I'll order an ultrasound, and we'll do a urine test today.",
            "Order an ultrasound, and do a urine test today.",
        ),
        ("Let's touch base again once the scan is back.", "Follow up once the scan is back."),
        ("Weigh yourself every morning.", "Weigh every morning."),
        ("If it's not better in a week, come back.", "If not better in a week, come back."),
        ("You're a bit tender over the left flank.", "A bit tender over the left flank."),
    ],
)
def test_orders_and_findings_are_written_without_the_one_who_speaks(speech: str, written: str) -> None:
    assert rewrite(said(CLINICIAN, speech), NEUTRAL) == written


@pytest.mark.parametrize(
    ("speech", "written"),
    [
        ("Not too good, Doc. I've been coughing all week.", "The patient has been coughing all week."),
        ("I think, sometimes noticed a buzzing in my ear.", "The patient sometimes noticed a buzzing in their ear."),
        ("I like can't like catch my breath.", "The patient cannot catch their breath."),
        ("The stools are watery and it.", "The stools are watery."),
        ("I didn't take any tablets, no, but I rested.", "The patient did not take any tablets, but they rested."),
    ],
)
def test_address_and_filler_are_left_out(speech: str, written: str) -> None:
    visit = Transcript((Turn(PATIENT, speech),))
    assert [c.text for c in candidates(utterances(visit), NEUTRAL)] == [written]


def test_a_denial_speaks_to_nobody() -> None:
    assert statement_of("Any change in your appetite?", False, NEUTRAL) == "The patient denies change in appetite."
    assert topic_answer("When did you notice this?", "It started on Monday.", NEUTRAL) == "Onset: on Monday."


def texts(*turns: tuple[str, str]) -> list[str]:
    return [c.text for c in candidates(utterances(Transcript(tuple(Turn(who, text) for who, text in turns))), NEUTRAL)]


def test_the_test_that_a_fast_is_for_is_named_only_where_it_was_just_said() -> None:
    order = "I'm going to order a colonoscopy. Don't eat anything for a day before it."
    assert texts((CLINICIAN, order))[-1] == "Don't eat anything for a day before the colonoscopy."
    assert texts((CLINICIAN, "Don't eat anything for a day before it.")) == []


def test_an_it_that_answers_the_patient_s_question_is_what_they_asked_about() -> None:
    reply = (CLINICIAN, "It's a little high, but it's something we'll watch.")
    told = texts((PATIENT, "Is my potassium dangerous?"), reply)
    assert told == ["The potassium is a little high, but it's something to watch."]
    assert texts((PATIENT, "I brought the papers."), reply)[-1:] != told


def test_what_the_complaint_is_like_stays_with_where_it_is() -> None:
    told = texts((CLINICIAN, "Where is the pain?"), (PATIENT, "Behind my knee. It's a sharp ache."))
    assert told == ["Pain, location: behind their knee; it's a sharp ache."]


@pytest.mark.parametrize("question", ["Have you ever had shingles?", "Did you ever have any shingles?"])
def test_what_the_patient_once_had_is_no_complaint_of_today(question: str) -> None:
    assert statement_of(question, True, NEUTRAL) == "The patient has had shingles."
    assert statement_of(question, False, NEUTRAL) == "The patient denies shingles."


@pytest.mark.parametrize(
    ("question", "written"),
    [
        ("Does the pain go anywhere?", "Pain, radiation: down the right leg."),
        ("Does it travel at all?", "Radiation: down the right leg."),
    ],
)
def test_where_a_pain_goes_is_what_was_answered(question: str, written: str) -> None:
    assert topic_answer(question, "Down the right leg.", NEUTRAL) == written


def test_an_answer_that_is_taken_back_gives_way_to_the_right_one() -> None:
    said = texts(
        (CLINICIAN, "When did it start?"),
        (PATIENT, "About 4 days ago. Actually, no, 6 days ago, after the trip."),
        (CLINICIAN, "Okay, 6 days. Your heart sounds normal today, and your lungs are clear on both sides."),
        (CLINICIAN, "I would like you to rest at home for a few days and to drink a lot of water."),
    )
    assert "Onset: 6 days ago." in said and not any("4" in text for text in said)


def test_an_it_after_yes_is_the_complaint_that_the_clinician_named() -> None:
    said = texts((CLINICIAN, "I hear you've had some back pain."), (PATIENT, "Yes. It's worse at night."))
    assert said == ["The back pain is worse at night."]


@pytest.mark.parametrize(
    "speech",
    [
        "High blood pressure can harm the kidneys over the years.",
        "Blood clots often start in the calf.",
        "Left untreated, gout destroys the joint.",
        "Think of the artery as a pipe.",
        "The meniscus is a cushion between the bones.",
        "The immune system attacks the joints.",
        "If it were broken, you would not be able to walk.",
        "We don't want you to end up with an ulcer.",
        "A preventer inhaler is for every day.",
        "I broke my wrist myself a few years ago.",
        "A fracture would hurt far more.",
        "With an abscess, you'd have a high temperature.",
        "Zinc helps the wound.",
        "Let me see you touch your toes.",
        "I'll get you a glass of water.",
        "I saw your brother on Monday, his gout is better.",
    ],
)
def test_teaching_and_what_is_no_fact_of_the_patient_is_not_written(speech: str) -> None:
    assert rewrite(said(CLINICIAN, speech)) is None


@pytest.mark.parametrize(
    ("speech", "written"),
    [
        ("You can bear weight on the left leg.", "The patient can bear weight on the left leg."),
        ("The liver edge can be felt below the ribs.", "The liver edge can be felt below the ribs."),
        ("Take the tablets with food.", "Take the tablets with food."),
        ("If the fever comes back, call us.", "If the fever comes back, call us."),
    ],
)
def test_facts_that_sound_like_teaching_are_written(speech: str, written: str) -> None:
    assert rewrite(said(CLINICIAN, speech)) == written


@pytest.mark.parametrize(
    "speech",
    [
        "I thought it was my heart.",
        "Should I be worried about a clot?",
        "I had a stent, no, that was my brother.",
        "I read online that it is harmless.",
    ],
)
def test_what_a_patient_guessed_or_read_is_not_written(speech: str) -> None:
    assert rewrite(said(PATIENT, speech)) is None
