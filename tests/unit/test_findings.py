"""What the finding extractor promises on short exchanges, through its public door."""

import pytest

from osler.engines.grounded.findings import GroundedFindingExtractor
from osler.notes.model import Experiencer, Finding, FindingKind, Temporality
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

EXTRACTOR = GroundedFindingExtractor()


def visit(dialogue: str) -> Transcript:
    """Read lines of "D: ..." and "P: ..." as turns."""
    turns = []
    for line in dialogue.strip().splitlines():
        who, _, text = line.strip().partition(": ")
        turns.append(Turn(CLINICIAN if who == "D" else PATIENT, text))
    return Transcript(tuple(turns))


def found(dialogue: str) -> list[Finding]:
    return EXTRACTOR.extract(visit(dialogue))


def summary(finding: Finding) -> str:
    """Write a finding in one line: "not family past symptom fever"."""
    words = []
    if finding.negated:
        words.append("not")
    if finding.experiencer is Experiencer.FAMILY:
        words.append("family")
    if finding.temporality is not Temporality.CURRENT:
        words.append("past" if finding.temporality is Temporality.HISTORICAL else "if")
    return " ".join((*words, finding.kind.value, finding.concept))


# Dialogue, the findings that must be there, the findings that must not.
EXCHANGES: dict[str, tuple[str, set[str], set[str]]] = {
    "a plain no denies": ("D: Any fevers?\nP: No.", {"not symptom fever"}, {"symptom fever"}),
    "a plain yeah affirms": ("D: Do you have a cough?\nP: Yeah.", {"symptom cough"}, {"not symptom cough"}),
    "nope denies a whole list": (
        "D: any nausea , vomiting or diarrhea ?\nP: nope .",
        {"not symptom nausea", "not symptom vomiting", "not symptom diarrhea"},
        {"symptom nausea"},
    ),
    "not really denies": ("D: Any headaches?\nP: Not really.", {"not symptom headache"}, {"symptom headache"}),
    "uh-uh denies": ("D: Any chest pain?\nP: Uh-uh.", {"not symptom chest pain"}, set()),
    "not that I've noticed denies": (
        "D: okay , and any swelling in your legs ?\nP: no , not that i 've noticed .",
        {"not symptom edema"},
        {"symptom edema"},
    ),
    "a little bit affirms": ("D: Any dizziness?\nP: A little bit.", {"symptom dizziness"}, {"not symptom dizziness"}),
    "just when affirms": (
        "D: Do you get short of breath?\nP: Just when I climb stairs.",
        {"symptom shortness of breath"},
        {"not symptom shortness of breath"},
    ),
    "I don't know says nothing": (
        "D: Any blood in your urine?\nP: I don't know, I haven't looked.",
        set(),
        {"symptom hematuria", "not symptom hematuria"},
    ),
    "a partial answer splits the list": (
        "D: Any fever or chills?\nP: No fever, but some chills.",
        {"not symptom fever", "symptom chills"},
        {"symptom fever", "not symptom chills"},
    ),
    "what no goes on to say is affirmed": (
        "D: Any nausea or vomiting?\nP: No, but my stomach hurts.",
        {"not symptom nausea", "not symptom vomiting", "symptom abdominal pain"},
        {"not symptom abdominal pain"},
    ),
    "no without a comma does not deny what follows": (
        "D: have you lost any weight\nP: no i wish i've gained some weight",
        {"symptom weight gain"},
        {"not symptom weight gain"},
    ),
    "yes to alternatives does not tell which": (
        "D: Any numbness in the hand or a rash?\nP: Yes.",
        set(),
        {"symptom rash", "not symptom rash"},
    ),
    "a yes that names one of a list leaves the others open": (
        "D: Body aches, joint pain?\nP: Uh, a bit of joint pain.",
        {"symptom joint pain"},
        {"symptom muscle pain", "not symptom muscle pain"},
    ),
    "yeah, no denies": ("D: Any palpitations?\nP: Yeah, no, I haven't.", {"not symptom palpitations"}, set()),
    "no to a negative question denies": (
        "D: You haven't had any fevers?\nP: No.",
        {"not symptom fever"},
        {"symptom fever"},
    ),
    "right to a negative question denies": (
        "D: You haven't had any fevers?\nP: Right.",
        {"not symptom fever"},
        {"symptom fever"},
    ),
    "a chain of questions": (
        "D: Any fever?\nP: No.\nD: Okay, and chest pain?\nP: No.\nD: And coughing?\nP: Yeah, a lot.",
        {"not symptom fever", "not symptom chest pain", "symptom cough"},
        {"symptom chest pain"},
    ),
    "other symptoms like": (
        "D: Any other symptoms, like night sweats?\nP: No, nothing like that.",
        {"not symptom night sweats"},
        {"symptom night sweats"},
    ),
    "a backchannel is no answer": (
        "D: Your heart failure and your swelling are what I worry about.\nP: Mm-hmm.",
        {"problem heart failure"},
        {"not problem heart failure"},
    ),
    "a statement with okay is not a question": (
        "D: You have pneumonia, okay?\nP: No way.",
        {"problem pneumonia"},
        {"not problem pneumonia"},
    ),
    "a confirmed statement stands": (
        "D: You have diabetes, right?\nP: Yes.",
        {"problem diabetes"},
        {"not problem diabetes"},
    ),
    "a refused statement falls": (
        "D: You have diabetes, right?\nP: No.",
        {"not problem diabetes"},
        {"problem diabetes"},
    ),
    "how is your presumes": (
        "D: How's your back pain?\nP: It's okay.",
        {"symptom back pain"},
        {"not symptom back pain"},
    ),
    "statements in lay words": (
        "P: I've been throwing up and I get winded, and my knee hurts.",
        {"symptom vomiting", "symptom shortness of breath", "symptom knee pain"},
        set(),
    ),
    "hesitations inside a name": (
        "P: i have this shortness of , uh , breath .",
        {"symptom shortness of breath"},
        set(),
    ),
    "high blood pressure is hypertension": ("P: I have high blood pressure.", {"problem hypertension"}, set()),
    "a denied list in one statement": (
        "P: I haven't had any fever, chills, night sweats or weight loss.",
        {"not symptom fever", "not symptom chills", "not symptom night sweats", "not symptom weight loss"},
        {"symptom weight loss"},
    ),
    "but ends a denial": (
        "P: I don't have chest pain but I do have a cough.",
        {"not symptom chest pain", "symptom cough"},
        {"not symptom cough"},
    ),
    "the mother's diabetes is not the patient's": (
        "P: My mother had diabetes and my dad had a stroke.",
        {"family problem diabetes", "family problem stroke"},
        {"problem diabetes", "problem stroke"},
    ),
    "family history asked for and denied": (
        "D: Any family history of breast cancer?\nP: None.",
        {"not family problem breast cancer"},
        {"not problem breast cancer", "problem breast cancer"},
    ),
    "who says so is not who has it": (
        "P: My wife says I have a bad cough.",
        {"symptom cough"},
        {"family symptom cough"},
    ),
    "history is past": ("D: You have a history of asthma.", {"past problem asthma"}, {"problem asthma"}),
    "if is not now": (
        "D: If you get a fever, call me.",
        {"if symptom fever"},
        {"symptom fever"},
    ),
    "an explanation is not a finding": (
        "D: High blood pressure can lead to a stroke.",
        {"if problem stroke"},
        {"problem stroke"},
    ),
    "a side effect is not a complaint": (
        "D: This medicine can cause nausea and headache.",
        {"if symptom nausea"},
        {"symptom nausea", "symptom headache"},
    ),
    "the patient's question is not a finding": ("P: Could it be cancer?\nD: Unlikely.", set(), {"problem cancer"}),
    "an allergy named in an answer": (
        "D: Any allergies?\nP: Penicillin.",
        {"allergy penicillin"},
        {"medication penicillin"},
    ),
    "an allergy stated": (
        "P: I'm allergic to sulfa and peanuts.",
        {"allergy sulfa", "allergy peanuts"},
        set(),
    ),
    "no known allergies": ("P: I have no known allergies.", {"not allergy allergies"}, set()),
    "allergies asked for and denied": (
        "D: Are you allergic to any medications?\nP: No.",
        {"not allergy allergies"},
        set(),
    ),
    "a medicine against allergies is not an allergy": (
        "P: I take Claritin for my allergies.",
        {"medication loratadine"},
        {"allergy loratadine"},
    ),
    "smoking denied": ("D: Do you smoke?\nP: No.", {"not social tobacco use"}, {"social tobacco use"}),
    "smoking past": ("P: I used to smoke.", {"past social tobacco use"}, {"social tobacco use"}),
    "examination findings": (
        "D: On exam, your lungs are clear, there is tenderness to palpation over the left knee, and no effusion.",
        {"exam clear lungs", "exam tenderness to palpation", "not exam effusion"},
        {"exam effusion"},
    ),
    "swelling in the examination is a sign": (
        "D: Let me take a look at you.\nP: Okay.\nD: You do have some swelling there.",
        {"exam swelling"},
        {"symptom swelling"},
    ),
    "an order": (
        "D: Let's get a lipid panel, and I'm gonna order an x-ray of the foot.",
        {"order lipid panel", "order x-ray"},
        {"procedure lipid panel"},
    ),
    "a result": (
        "D: Your chest x-ray came back normal.",
        {"result x-ray"},
        {"order x-ray", "not result x-ray"},
    ),
    "a past test is no order": ("P: I had a colonoscopy in 2018.", {"procedure colonoscopy"}, {"order colonoscopy"}),
    "follow-up": ("D: I'll see you in three months.", {"follow_up follow-up"}, set()),
    "advice": ("D: I want you to rest and ice the knee.", {"plan rest"}, set()),
    "unpunctuated speech": (
        "D: okay so you have a knee sprain i do n't see any fracture and i would like you to stay on ibuprofen",
        {"problem sprain", "not problem fracture", "medication ibuprofen"},
        {"not medication ibuprofen", "problem fracture"},
    ),
    "a taken medicine confirmed": (
        "D: Are you taking the allopurinol?\nP: Yes.",
        {"medication allopurinol"},
        {"not medication allopurinol"},
    ),
    "a medicine not taken": (
        "D: Do you take aspirin?\nP: No, I don't.",
        {"not medication aspirin"},
        {"medication aspirin"},
    ),
    "a question about a complaint does not doubt it": (
        "D: Does the pain move anywhere else?\nP: No.",
        {"symptom pain"},
        {"not symptom pain"},
    ),
    "a question about a medicine's effect does not doubt it": (
        "D: Has the ibuprofen helped at all?\nP: Not really.",
        {"medication ibuprofen"},
        {"not medication ibuprofen"},
    ),
    "a bare name asks": (
        "D: Okay, and fevers.\nP: No.",
        {"not symptom fever"},
        {"symptom fever"},
    ),
    "unmarked questions": (
        "D: okay what about chest pain\nP: no chest pain",
        {"not symptom chest pain"},
        {"symptom chest pain"},
    ),
    "unmarked questions after talk": (
        "D: let's talk about some other symptoms any joint pain fever weight loss\nP: not that i can recall",
        {"not symptom joint pain", "not symptom fever", "not symptom weight loss"},
        {"symptom fever"},
    ),
    "a list is not a stammer": (
        "P: I have weight loss, loss of appetite and fatigue.",
        {"symptom weight loss", "symptom loss of appetite", "symptom fatigue"},
        set(),
    ),
    "what it is for is no history": (
        "D: James has a past medical history significant for diabetes who presents today with back pain.",
        {"past problem diabetes", "symptom back pain"},
        set(),
    ),
    "make sure you don't have is a doubt, not a denial": (
        "D: Let's get an x-ray to make sure you don't have a fracture.",
        {"order x-ray", "problem fracture"},
        {"not problem fracture"},
    ),
    "an imperative is advice": (
        "D: Please don't eat anything for twelve hours before it.",
        {"plan fasting"},
        set(),
    ),
    "I see you have is no follow-up": (
        "D: I see you've had stones twice in the past year.",
        set(),
        {"follow_up follow-up"},
    ),
    "what a relative was told is the relative's": (
        "P: My mom was almost forty five when she was diagnosed with breast cancer.",
        set(),
        {"problem breast cancer", "past problem breast cancer"},
    ),
    "now tell me asks": (
        "D: now tell me have you had any chest pain\nP: not really no chest pain",
        {"not symptom chest pain"},
        {"symptom chest pain"},
    ),
    "small talk holds nothing": ("D: How was the weather up there?\nP: Oh, lovely, thanks.", set(), set()),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_exchange_gives_what_was_said_and_no_more(name: str) -> None:
    dialogue, there, absent = EXCHANGES[name]
    findings = {summary(finding) for finding in found(dialogue)}
    assert there <= findings
    assert not absent & findings


def test_small_talk_has_no_findings() -> None:
    assert found("D: Good morning, how are you?\nP: I'm well, how was your weekend?\nD: Lovely, thank you.") == []


# Dialogue, concept, the attributes that the finding must have.
ATTRIBUTES: dict[str, tuple[str, str, dict[str, str]]] = {
    "an increased dose": (
        "D: I wanna increase your lisinopril to 40 milligrams a day.",
        "lisinopril",
        {"dose": "40", "unit": "mg", "frequency": "daily", "action": "increase"},
    ),
    "the dose after the change": (
        "D: Let's go up on your metformin from 500 milligrams to 1000 milligrams twice a day.",
        "metformin",
        {"dose": "1000", "unit": "mg", "frequency": "twice daily", "action": "increase"},
    ),
    "a started brand": (
        "D: I'm going to start you on some Lasix, you know, twenty milligrams once a day.",
        "furosemide",
        {"dose": "20", "unit": "mg", "frequency": "daily", "action": "start"},
    ),
    "a stopped medicine": ("D: I want you to stop taking the ibuprofen.", "ibuprofen", {"action": "stop"}),
    "a refill": ("D: I'll refill your albuterol inhaler.", "albuterol", {"action": "refill"}),
    "a dose in the next sentence": (
        "P: I take lisinopril. It's ten milligrams every day.",
        "lisinopril",
        {"dose": "10", "unit": "mg", "frequency": "daily"},
    ),
    "each medicine its own dose": (
        "D: Continue the omeprazole 20 mg daily and the allopurinol 100 mg twice daily.",
        "allopurinol",
        {"dose": "100", "frequency": "twice daily", "action": "continue"},
    ),
    "pressure in digits": ("D: Your blood pressure is 145/92.", "blood pressure", {"value": "145/92"}),
    "pressure over": ("D: It was 145 over 92 today.", "blood pressure", {"value": "145/92"}),
    "pressure in words": (
        "D: blood pressure today is one forty five over ninety two .",
        "blood pressure",
        {"value": "145/92"},
    ),
    "pulse": ("D: your heart rate was fifty eight .", "heart rate", {"value": "58"}),
    "temperature": ("D: Your temperature is 98.6.", "temperature", {"value": "98.6"}),
    "saturation": ("D: Your oxygen is at 97 percent.", "oxygen saturation", {"value": "97", "unit": "%"}),
    "a1c": ("D: Your hemoglobin a1c is seven point two.", "hemoglobin a1c", {"value": "7.2"}),
    "weight": ("D: You weigh 180 pounds.", "weight", {"value": "180", "unit": "lb"}),
    "side": ("P: I have pain in my right shoulder.", "shoulder pain", {"laterality": "right", "site": "shoulder"}),
    "both sides": ("P: Both of my knees hurt.", "knee pain", {"laterality": "bilateral"}),
    "a corrected side": ("P: My left, I mean right knee hurts.", "knee pain", {"laterality": "right"}),
    "duration": ("P: I've had this cough for three weeks.", "cough", {"duration": "for three weeks"}),
    "duration asked for": (
        "P: I have a cough.\nD: How long has it been going on?\nP: About two weeks.",
        "cough",
        {"duration": "two weeks"},
    ),
    "severity": ("P: I have really bad headaches.", "headache", {"severity": "severe"}),
    "grade": ("D: I appreciate a three out of six systolic ejection murmur.", "murmur", {"grade": "3/6"}),
    "grade of edema": ("D: On exam there is 1+ pitting edema.", "edema", {"grade": "1+"}),
    "follow-up time": ("D: Come back and see me in six weeks.", "follow-up", {"when": "six weeks"}),
}


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_attributes_are_those_said(name: str) -> None:
    dialogue, concept, expected = ATTRIBUTES[name]
    candidates = [f for f in found(dialogue) if f.concept == concept]
    assert candidates
    assert any(expected.items() <= dict(f.attributes).items() for f in candidates), [
        dict(f.attributes) for f in candidates
    ]


def test_only_the_clinician_changes_a_medicine() -> None:
    (finding,) = [f for f in found("P: I started taking ibuprofen.") if f.kind is FindingKind.MEDICATION]
    assert "action" not in finding.attributes


def test_a_number_belongs_to_the_name_before_it() -> None:
    findings = [
        f for f in found("D: your heart rate your spo2 was ninety eight percent") if f.kind is FindingKind.VITAL
    ]
    assert [(f.concept, f.attributes["value"]) for f in findings] == [("oxygen saturation", "98")]


def test_a_goal_is_not_a_measurement() -> None:
    findings = found("D: Our goal is a blood pressure below 130/80.")
    assert [f.temporality for f in findings if f.kind is FindingKind.VITAL] == [Temporality.HYPOTHETICAL]


def test_every_finding_quotes_its_words_exactly() -> None:
    for dialogue, _, _ in EXCHANGES.values():
        transcript = visit(dialogue)
        for finding in EXTRACTOR.extract(transcript):
            assert finding.evidence
            for evidence in finding.evidence:
                assert transcript.turns[evidence.turn].text[evidence.start : evidence.end] == evidence.quote
            assert finding.text in finding.evidence[0].quote.lower()


def test_a_denial_by_answer_cites_question_and_answer() -> None:
    (finding,) = found("D: Any fevers?\nP: No, not lately.")
    assert [(e.turn, e.quote) for e in finding.evidence] == [(0, "fevers"), (1, "No")]


def test_findings_come_in_the_order_in_which_they_were_said() -> None:
    dialogue = "\n".join(lines for lines, _, _ in EXCHANGES.values())
    places = [(f.evidence[0].turn, f.evidence[0].start) for f in found(dialogue)]
    assert [turn for turn, _ in places] == sorted(turn for turn, _ in places)


def test_the_same_visit_gives_the_same_findings() -> None:
    dialogue = "\n".join(lines for lines, _, _ in EXCHANGES.values())
    assert found(dialogue) == found(dialogue)
