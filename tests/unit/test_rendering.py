"""Notes as markdown, HTML and annotated text."""

from osler.kernel.engine_record import EngineRecord
from osler.notes.model import Evidence, Note, Section, Sentence, Verdict, VoiceStyle
from osler.notes.rendering import to_annotated, to_html, to_markdown
from osler.notes.service import note_to_json
from osler.speech.model import CLINICIAN, PATIENT, Transcript, Turn

TRANSCRIPT = Transcript(
    (
        Turn(PATIENT, "My <b>knee</b> hurts & *swells*.", 61.0, 64.5),
        Turn(CLINICIAN, "For your knee pain, I'm going to order an x-ray.", 65.0, 70.0),
    )
)
KNEE = Evidence.cite(TRANSCRIPT, 0, 0, 32)
PLAN = Evidence.cite(TRANSCRIPT, 1, 20, 48)
NOTE = Note(
    (
        Section("History of Present Illness", (Sentence("The <b>knee</b> hurts & *swells*.", (KNEE,)),)),
        Section(
            "Assessment and Plan",
            (
                Sentence("Knee pain.", (KNEE,), Verdict.INFERRED, is_problem=True),
                Sentence("Order an x-ray.", (PLAN, KNEE)),
            ),
        ),
    ),
    "full",
    VoiceStyle.BRIEF,
    EngineRecord("grounded", "1"),
)


def test_markdown_heads_sections_sets_problems_bold_and_lists_their_plan() -> None:
    assert "## Assessment and Plan\n\n**Knee pain.**\n\n- Order an x-ray.\n" in to_markdown(NOTE)


def test_what_was_said_cannot_become_markup() -> None:
    assert "&lt;b>knee&lt;/b> hurts &amp; \\*swells\\*" in to_markdown(NOTE)
    html = to_html(NOTE)
    assert "<b>" not in html and "&lt;b&gt;knee&lt;/b&gt; hurts &amp; *swells*" in html


def test_html_has_headings_and_a_list_under_the_problem() -> None:
    assert "<h2>Assessment and Plan</h2>\n<h3>Knee pain.</h3>\n<ul><li>Order an x-ray.</li></ul>" in to_html(NOTE)


def test_annotated_text_marks_sentences_and_lists_each_quote_once_with_turn_and_time() -> None:
    text = to_annotated(NOTE, TRANSCRIPT)
    assert "The <b>knee</b> hurts & *swells*. [1]" in text
    assert "Knee pain. (inferred) [1]" in text
    assert "Order an x-ray. [2][1]" in text
    assert text.count("[1] turn 0, 01:01 patient: “My <b>knee</b> hurts & *swells*.”") == 1
    assert "[2] turn 1, 01:05 clinician: “I'm going to order an x-ray.”" in text


def test_annotated_text_of_a_transcript_without_times_names_turns_only() -> None:
    untimed = Transcript((Turn(PATIENT, "My knee hurts."),))
    note = Note(
        (Section("Plan", (Sentence("Knee hurts.", (Evidence.cite(untimed, 0, 0, 14),)),)),),
        "full",
        VoiceStyle.BRIEF,
        EngineRecord("grounded", "1"),
    )
    assert "[1] turn 0 patient: “My knee hurts.”" in to_annotated(note, untimed)


def test_json_holds_the_markdown_and_each_sentence_with_exact_evidence() -> None:
    data = note_to_json(NOTE)
    assert data["note"] == to_markdown(NOTE)
    assert (data["template"], data["voice_style"]) == ("full", "BRIEF")
    sentence = data["sections"][1]["sentences"][1]
    assert set(sentence) == {"text", "evidence", "verdict", "is_problem"}
    assert sentence["evidence"][0] == {
        "turn": 1,
        "start": 20,
        "end": 48,
        "quote": "I'm going to order an x-ray.",
        "audio_start": 65.0,
        "audio_end": 70.0,
        "source": "transcript",
        "source_id": "",
    }
