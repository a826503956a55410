"""Synthesised visits: scripts are cleaned as promised, and the reference times bound the sound."""

import json
from pathlib import Path

import numpy as np
import pytest
from osler_evals.acoustics import CONSULTING_ROOM, pink_noise, reverberate, telephone
from osler_evals.audio_files import resample, write_audio
from osler_evals.scripts import Utterance, from_collection, spoken
from osler_evals.synthesize import VISITS, Reading, synthesize, two_microphones, write_visit
from osler_evals.voices import SAMPLE_RATE, VOICES, power, trim

from osler.audio.decode import open_recording
from osler.speech.model import CLINICIAN, PATIENT


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("<UNSURE>Hello how</UNSURE> um <UNIN/>.", "Hello how um."),
        ("hi , martha . how are you ?", "Hi, martha. How are you?"),
        ("i do n't know , i 'm gon na go", "I don't know, I'm gonna go"),
        ("bp is 120/80 [laughs] on 5 mg", "Bp is 120 over 80 on 5 milligrams"),
        ("wh- what side ?", "Wh what side?"),
        (". how were you ?", "How were you?"),
        ("OK, ok. Alright", "Okay, okay. All right"),
    ],
)
def test_scripts_are_cleaned_for_reading(written: str, read: str) -> None:
    assert spoken(written) == read


@pytest.fixture
def collections(tmp_path: Path) -> Path:
    """The four collections in small: one dialogue that is held out and one that is not in each."""
    for name in ("aci-bench", "mts-dialog", "osce", "primock57"):
        (tmp_path / name).mkdir()
    for part in ("train", "valid"):
        table = f'dataset,encounter_id,dialogue,note\naci,{part},"[doctor] hi .\n[patient] i fell .",x\n'
        (tmp_path / "aci-bench" / f"{part}.csv").write_text(table)
    for part in ("Training", "Validation"):
        talk = "Doctor: Hi.\nGuest_family: He fell.\nPatient: I did.\nDoctor_2: Yes."
        table = f'ID,section_header,section_text,dialogue\n3,X,x,"{talk}"\n'
        (tmp_path / "mts-dialog" / f"MTS-Dialog-{part}Set.csv").write_text(table)
    for name in ("A1", "A2"):
        (tmp_path / "osce" / f"{name}.txt").write_text("D: Any pain?\n\nP: No. \n\n")
    tiers = {"doctor": ((1.5, "Hello <UNSURE>you</UNSURE>."), (3.0, "")), "patient": ((0.2, "<UNIN/>"),)}
    for name in ("A2", "day3_consultation06"):
        for tier, words in tiers.items():
            grid = "".join(f'xmin = {start} \n xmax = 9 \n text = "{text}" \n' for start, text in words)
            (tmp_path / "primock57" / f"{name}_{tier}.TextGrid").write_text(grid)
    return tmp_path


@pytest.mark.parametrize(
    ("collection", "name", "said"),
    [
        ("aci-bench", "valid", [(CLINICIAN, "Hi."), (PATIENT, "I fell.")]),
        (
            "mts-dialog",
            "Validation-3",
            [(CLINICIAN, "Hi."), ("other 1", "He fell."), (PATIENT, "I did."), ("other 2", "Yes.")],
        ),
        ("osce", "A1", [(CLINICIAN, "Any pain?"), (PATIENT, "No.")]),
        ("primock57", "day3_consultation06", [(CLINICIAN, "Hello you.")]),
    ],
)
def test_each_collection_is_read_with_its_speakers_and_without_empty_turns(
    collections: Path, collection: str, name: str, said: list[tuple[str, str]]
) -> None:
    script = from_collection(collections, collection, name, seconds=60)
    assert [(utterance.speaker, utterance.text) for utterance in script.utterances] == said
    assert "CC BY 4.0" in script.source


@pytest.mark.parametrize(
    ("collection", "name"), [("aci-bench", "train"), ("mts-dialog", "Training-3"), ("osce", "A2"), ("primock57", "A2")]
)
def test_a_dialogue_that_osler_may_be_trained_on_is_no_measure(collections: Path, collection: str, name: str) -> None:
    with pytest.raises(ValueError, match="held out"):
        from_collection(collections, collection, name, seconds=60)


def test_a_script_is_cut_where_it_is_long_enough(collections: Path) -> None:
    assert len(from_collection(collections, "mts-dialog", "Validation-3", seconds=0.5).utterances) == 2


def test_trim_leaves_the_sound_and_takes_the_silence() -> None:
    tone = np.sin(np.arange(SAMPLE_RATE) * 0.3).astype(np.float32)
    padded = np.concatenate([np.zeros(4000, np.float32), tone, np.zeros(8000, np.float32)])
    assert abs(len(trim(padded)) - len(tone)) <= 2 * SAMPLE_RATE // 100
    assert trim(np.zeros(8000, np.float32)).size == 0


def test_noise_room_and_telephone_keep_length_and_do_what_they_say() -> None:
    random = np.random.default_rng(1)
    noise = pink_noise(SAMPLE_RATE, random)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(1, rel=1e-3)
    spectrum = np.abs(np.fft.rfft(noise)) ** 2
    assert spectrum[20:200].mean() > 5 * spectrum[2000:6000].mean()
    click = np.zeros(SAMPLE_RATE, np.float32)
    click[100] = 1
    heard = reverberate(click, SAMPLE_RATE, CONSULTING_ROOM, random)
    assert len(heard) == len(click)
    assert int(np.argmax(np.abs(heard))) == 100
    hum = np.sin(2 * np.pi * 100 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    voice = np.sin(2 * np.pi * 1000 * np.arange(SAMPLE_RATE) / SAMPLE_RATE).astype(np.float32)
    assert power(telephone(hum, SAMPLE_RATE)) < 0.01
    assert power(telephone(voice, SAMPLE_RATE)) == pytest.approx(power(voice), rel=0.01)


def test_resampling_keeps_time_and_pitch() -> None:
    tone = np.sin(2 * np.pi * 440 * np.arange(24000) / 24000).astype(np.float32)
    lower = resample(tone, 24000, SAMPLE_RATE)
    assert abs(len(lower) - SAMPLE_RATE) < 50
    assert int(np.argmax(np.abs(np.fft.rfft(lower[:16000])))) == pytest.approx(440, abs=2)


SCRIPT = (Utterance(CLINICIAN, "Any chest pain?"), Utterance(PATIENT, "No. None at all."))


@pytest.fixture(scope="module")
def reading() -> Reading:
    return synthesize(SCRIPT, {CLINICIAN: VOICES["joe-low"], PATIENT: VOICES["heart-mid"]}, gaps=(0.4, 0.5), seed=3)


def test_reference_times_bound_the_sound(reading: Reading) -> None:
    first, second = reading.turns
    assert [turn.text for turn in reading.turns] == [utterance.text for utterance in SCRIPT]
    assert 0 < first.start < first.end < second.start < second.end < len(reading.samples) / SAMPLE_RATE
    loud = np.abs(reading.samples) > 1e-3
    sound = np.flatnonzero(loud) / SAMPLE_RATE
    assert sound[0] == pytest.approx(first.start, abs=0.03)
    assert sound[-1] == pytest.approx(second.end, abs=0.03)
    silent = loud[round((first.end + 0.01) * SAMPLE_RATE) : round((second.start - 0.01) * SAMPLE_RATE)]
    assert silent.size > 0.3 * SAMPLE_RATE
    assert not silent.any()


def test_the_same_seed_reads_the_same_and_another_seed_does_not(reading: Reading) -> None:
    voices = {CLINICIAN: VOICES["joe-low"], PATIENT: VOICES["heart-mid"]}
    again = synthesize(SCRIPT, voices, gaps=(0.4, 0.5), seed=3)
    assert again.turns == reading.turns
    assert np.array_equal(again.samples, reading.samples)
    assert synthesize(SCRIPT, voices, gaps=(0.4, 0.5), seed=4).turns != reading.turns


def test_noise_stands_as_far_under_the_speech_as_asked(reading: Reading) -> None:
    voices = {CLINICIAN: VOICES["joe-low"], PATIENT: VOICES["heart-mid"]}
    noisy = synthesize(SCRIPT, voices, noise_snr_db=12, gaps=(0.4, 0.5), seed=3)
    noise = noisy.samples - reading.samples
    level = 20 * np.log10(power(reading.samples) / np.sqrt(np.mean(noise**2)))
    assert level == pytest.approx(12, abs=0.5)


def test_two_microphones_hear_each_speaker_on_another_side(reading: Reading) -> None:
    channels = two_microphones(reading)
    assert channels.shape[0] == 2
    first, second = (channels[:, round(t.start * 48000) : round(t.end * 48000)] for t in reading.turns)
    assert power(first[0]) > 1.5 * power(first[1])
    assert power(second[1]) > 1.5 * power(second[0])


def test_written_sound_decodes_to_what_was_written(tmp_path: Path, reading: Reading) -> None:
    for name, codec, rate in (("a.ogg", "libopus", SAMPLE_RATE), ("b.wav", "pcm_mulaw", 8000)):
        samples = resample(reading.samples, SAMPLE_RATE, rate)
        write_audio(tmp_path / name, samples[None, :], rate, codec=codec)
        heard = np.concatenate(list(open_recording(tmp_path / name)))
        assert len(heard) / SAMPLE_RATE == pytest.approx(len(reading.samples) / SAMPLE_RATE, abs=0.05)
        assert power(heard) == pytest.approx(power(reading.samples), rel=0.2)


def test_the_set_has_ten_visits_and_more_with_two_to_four_voices_each_its_own() -> None:
    assert len(VISITS) >= 10
    assert len({visit.name for visit in VISITS}) == len(VISITS)
    for visit in VISITS:
        assert 2 <= len(visit.voices) <= 4
        assert len(set(visit.voices.values())) == len(visit.voices)
        assert set(visit.voices.values()) <= VOICES.keys()


@pytest.mark.engine
def test_a_visit_is_written_as_sound_with_its_turns_beside_it(tmp_path: Path) -> None:
    visit = next(visit for visit in VISITS if visit.name == "own-daughter-and-nurse")
    reading = write_visit(visit, tmp_path, tmp_path, seed=5)
    reference = json.loads((tmp_path / f"{visit.name}.json").read_text())
    assert list(reference) == ["source", "noise_snr_db", "turns"]
    assert [turn["text"] for turn in reference["turns"]] == [turn.text for turn in reading.turns]
    assert {turn["speaker"] for turn in reference["turns"]} == {"clinician", "patient", "other 1", "other 2"}
    assert (tmp_path / f"{visit.name}.ogg").stat().st_size > 100_000
