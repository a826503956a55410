"""What the finding extractor promises of medicines that are no treatment of today, of side effects and general talk."""

import pytest

from osler.engines.grounded.findings import GroundedFindingExtractor
from osler.notes.model import Experiencer, Finding, Temporality
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

EXTRACTOR = GroundedFindingExtractor()
WHEN = {Temporality.CURRENT: "", Temporality.HISTORICAL: "past ", Temporality.HYPOTHETICAL: "if "}


def found(dialogue: str) -> list[Finding]:
    """Find the findings of lines of "D: ..." and "P: ..."."""
    turns = []
    for line in dialogue.strip().splitlines():
        who, _, text = line.strip().partition(": ")
        turns.append(Turn(CLINICIAN if who == "D" else PATIENT, text))
    return EXTRACTOR.extract(Transcript(tuple(turns)))


def told(finding: Finding) -> str:
    """Write a finding in one line: "past medication warfarin action=stop"."""
    family = "family " if finding.experiencer is Experiencer.FAMILY else ""
    attributes = "".join(f" {name}={value}" for name, value in sorted(finding.attributes.items()))
    no = "not " if finding.negated else ""
    return f"{no}{family}{WHEN[finding.temporality]}{finding.kind.value} {finding.concept}{attributes}"


# Dialogue → exactly its findings.
EXCHANGES: dict[str, tuple[str, set[str]]] = {
    "no to an allergy by name denies that allergy": (
        "D: Are you allergic to penicillin?\nP: No.",
        {"not allergy penicillin"},
    ),
    "no with what is borne is no medicine of today": (
        "D: Are you allergic to penicillin at all?\nP: No, I've had penicillin loads of times.",
        {"not allergy penicillin"},
    ),
    "no to sulfa drugs": ("D: Are you allergic to sulfa drugs?\nP: Not that I know of.", {"not allergy sulfa drugs"}),
    "yes to an allergy by name": (
        "D: Are you allergic to penicillin?\nP: Yes, it gives me a rash.",
        {"allergy penicillin reaction=rash"},
    ),
    "an allergy with its reaction": (
        "D: Any allergies?\nP: Trimethoprim, it gave me a rash.",
        {"allergy trimethoprim reaction=rash"},
    ),
    "an allergy and hives a sentence later": (
        "D: Any drug allergies?\nP: Amoxicillin. I came out in hives.",
        {"allergy amoxicillin reaction=hives"},
    ),
    "an allergy with a swollen face": (
        "D: Allergies to anything?\nP: Just aspirin. My face swelled up.",
        {"allergy aspirin reaction=face swelled up"},
    ),
    "the reaction told when it is asked for": (
        "D: Any allergies to medicine?\nP: Penicillin.\nD: What happens when you take it?\nP: I get hives.",
        {"allergy penicillin reaction=hives"},
    ),
    "a rash that was blamed on a medicine": (
        "P: They put me on doxycycline last year and I broke out in a rash.",
        {"allergy doxycycline reaction=rash type=reaction", "past symptom rash cause=doxycycline"},
    ),
    "an intolerance": ("P: Codeine makes me vomit.", {"allergy codeine reaction=vomit type=intolerance"}),
    "a medicine that cannot be taken": (
        "P: I can't take naproxen, it gives me heartburn.",
        {"allergy naproxen reaction=heartburn type=intolerance"},
    ),
    "a side effect of a medicine that is taken stays a complaint": (
        "P: The amlodipine makes my ankles swell.",
        {"medication amlodipine reaction=ankles swell", "symptom edema cause=amlodipine site=ankle"},
    ),
    "why a medicine was stopped": (
        "D: Why did you stop the metformin?\nP: It gave me diarrhea.",
        {"past medication metformin action=stop reaction=diarrhea", "past symptom diarrhea cause=metformin"},
    ),
    "stopped because it made dizzy": (
        "P: I stopped the hydrochlorothiazide in March because it made me dizzy.",
        {
            "past medication hydrochlorothiazide action=stop reaction=dizzy",
            "past symptom dizziness cause=hydrochlorothiazide",
        },
    ),
    "stopped by the patient": ("P: I stopped the glipizide last year.", {"past medication glipizide action=stop"}),
    "stopped a month ago is not monthly": (
        "P: I quit taking the omeprazole a month ago.",
        {"past medication omeprazole action=stop"},
    ),
    "stopped by the clinician": (
        "D: So we took you off the spironolactone last visit.",
        {"past medication spironolactone action=stop"},
    ),
    "stopped in an answer": (
        "D: Are you still on the methotrexate?\nP: Not anymore.",
        {"past medication methotrexate action=stop"},
    ),
    "an order to stop is of today": ("D: I want you to stop the ibuprofen.", {"medication ibuprofen action=stop"}),
    "a medicine that was not stopped is taken": ("P: I haven't stopped the lisinopril.", {"medication lisinopril"}),
    "refused by name": ("P: I'd rather not take insulin.", {"if medication insulin action=declined"}),
    "an offer that is refused": (
        "D: We could also do a cortisone injection.\nP: No, I'd rather not have a shot.",
        {"if procedure steroid injection action=declined"},
    ),
    "an offer that is asked and refused": (
        "D: Would you like a flu shot today?\nP: No thanks.",
        {"if procedure vaccine action=declined"},
    ),
    "an offer that is taken is a plan": (
        "D: We could start you on prednisone.\nP: Sure, let's do that.",
        {"medication prednisone action=start"},
    ),
    "an offer that stays open": (
        "D: I could refer you to physical therapy.\nP: I'll think about it.",
        {"if order physical therapy certainty=offered"},
    ),
    "a pressure at home": (
        "P: At home it's 138 over 84.",
        {"vital blood pressure unit=mmHg value=138/84 where=home"},
    ),
    "a pressure told when the home readings are asked for": (
        "D: What are your home readings like?\nP: Mostly 135 over 80.",
        {"vital blood pressure unit=mmHg value=135/80 where=home"},
    ),
    "a pressure in the office": (
        "D: Today in the office it's 152 over 94.",
        {"vital blood pressure unit=mmHg value=152/94"},
    ),
    "general talk of a disease": ("D: In general high blood pressure can damage the kidneys.", set()),
    "general talk of a medicine": ("D: Antidepressants work by changing serotonin levels.", set()),
    "general talk of many people": ("D: About one in ten people get a cough on that kind of medicine.", set()),
    "what contributes to a disease": ("D: Stress and salt contribute to hypertension and fatigue.", set()),
    "the dose in the next sentence": (
        "D: What do you take?\nP: Sertraline. It's fifty milligrams.",
        {"medication sertraline dose=50 unit=mg"},
    ),
    "the dose in the answer": (
        "D: What dose of atorvastatin are you on?\nP: Forty milligrams at bedtime.",
        {"medication atorvastatin dose=40 frequency=nightly unit=mg"},
    ),
    "how much of a medicine": (
        "D: How much metformin do you take?\nP: 500 mg twice a day.",
        {"medication metformin dose=500 frequency=twice daily unit=mg"},
    ),
    "every order of a list, with its time": (
        "D: I'd also like a urine albumin, a potassium and creatinine, and we'll repeat the A1c in three months.",
        {
            "order microalbumin",
            "order potassium",
            "order kidney function",
            "order hemoglobin a1c when=in three months",
        },
    ),
    "an order after its reason": (
        "D: Since you've been tired, I'm going to order a lipid panel.",
        {"symptom fatigue", "order lipid panel"},
    ),
    "one thing of a list denied leaves the others open": (
        "D: Any nausea, vomiting or diarrhea?\nP: No nausea, some diarrhea.",
        {"not symptom nausea", "symptom diarrhea"},
    ),
    "a denial in the patient's own words": (
        "D: Does the knee lock or give way?\nP: It hasn't locked, but it gave way once.",
        {"not symptom locking", "symptom instability"},
    ),
    "some of something else": (
        "D: Any numbness or burning in your feet?\nP: Some tingling in the toes.",
        {"symptom toe tingling site=toe"},
    ),
    "a diagnosis with its side": (
        "D: So she has an acute otitis media on the right.",
        {"problem acute otitis media laterality=right"},
    ),
    "a hedged diagnosis": ("D: It looks like a UTI.", {"problem urinary tract infection certainty=possible"}),
    "the degrees of a fever": ("D: Has she had a fever?\nP: Yes, 101.8 last night.", {"symptom fever value=101.8"}),
    "where a rash started": (
        "P: I've got a rash. It started on my right forearm four days ago.",
        {"symptom rash duration=four days ago laterality=right site=forearm"},
    ),
    "a sore part": ("P: I have a swollen left knee.", {"symptom knee swelling laterality=left site=knee"}),
    "never smoked": (
        "D: Do you smoke?\nP: Never. My husband smoked.",
        {"not social tobacco use", "family social tobacco use"},
    ),
    "no longer smoking": ("D: Do you smoke?\nP: Not anymore.", {"past social tobacco use"}),
    "stopped smoking": ("P: I stopped smoking in 2010.", {"past social tobacco use"}),
    "only as a child": ("D: Any panic attacks?\nP: I used to, in college.", {"past symptom panic attacks"}),
    "laid off": ("P: I got laid off in August.", {"social occupation"}),
    "what to do if something happens": (
        "D: If you get a fever or back pain, call us.",
        {"if follow_up return precautions", "if symptom fever", "if symptom back pain"},
    ),
    "a visit after a time, and what to do before": (
        "D: Come back in two weeks, and if you get a fever, call us.",
        {"follow_up follow-up when=two weeks", "if follow_up return precautions", "if symptom fever"},
    ),
    "a visit after an event": (
        "D: Let's touch base again once the lab results are ready.",
        {"follow_up follow-up when=once the lab results are ready"},
    ),
    "the swelling is the one spoken of": (
        "P: My ankles have been swelling. I think the swelling started in May.",
        {"symptom edema site=ankle", "symptom edema"},
    ),
    "tenderness is a sign while the clinician examines": (
        "D: Let me press on your tummy. You're a bit tender above the pubic bone. No tenderness over the kidneys.",
        {"exam tenderness severity=mild", "not exam tenderness"},
    ),
    "feet and inches are one height": ("D: Your height is 5 feet 10 inches.", {"vital height value=5 ft 10 in"}),
}


@pytest.mark.parametrize("name", EXCHANGES)
def test_exchange_gives_exactly_what_stands(name: str) -> None:
    dialogue, expected = EXCHANGES[name]
    assert {told(finding) for finding in found(dialogue)} == expected


def test_a_reaction_cites_its_words() -> None:
    (allergy,) = found("D: Any allergies?\nP: Trimethoprim, it gave me a rash.")
    assert [evidence.quote for evidence in allergy.evidence] == ["Trimethoprim", "allergies", "rash"]


def test_a_declined_offer_cites_the_refusal() -> None:
    (offer,) = found("D: One option would be insulin.\nP: No, I don't want that.")
    assert "n't want" in [evidence.quote for evidence in offer.evidence]
