"""A short visit of our own as an engine would hear it, with and without a usable voice signal."""

import numpy as np
from numpy.typing import NDArray

from osler.speech.model import CLINICIAN, PATIENT, HeardWord

VISIT = [
    (CLINICIAN, "Good morning, Mr. Hill. What brings you in today?"),
    (PATIENT, "I've had this cough for about two weeks, and I'm tired all the time."),
    (CLINICIAN, "I'm sorry to hear that. Are you bringing anything up when you cough?"),
    (PATIENT, "No. It's dry."),
    (CLINICIAN, "Any fevers or chills?"),
    (PATIENT, "No."),
    (CLINICIAN, "Okay. And do you take any medications?"),
    (PATIENT, "I take lisinopril for my blood pressure. My wife says I started it in May."),
    (CLINICIAN, "Alright, let me have a listen to your lungs. Take a deep breath for me."),
    (PATIENT, "Okay."),
    (CLINICIAN, "Your lungs are clear. I think it's the lisinopril, so I'm going to switch you to losartan."),
    (PATIENT, "Okay, thank you, doctor."),
    (CLINICIAN, "I want you to come back in four weeks, and we'll check your blood pressure."),
]
DAUGHTER = [
    (CLINICIAN, "And you must be his daughter. Have you noticed anything at home?"),
    ("other 1", "Yes, he coughs all night and he doesn't sleep. My dad never complains, but I can hear him."),
    (CLINICIAN, "How long has he been coughing like that?"),
    ("other 1", "He started right after they changed his pills, so my mom called you."),
]
DICTATION = [
    (CLINICIAN, "The patient is a 54-year-old man who presents for follow-up of his hypertension. He has a dry cough."),
    (CLINICIAN, "On examination his lungs are clear. Heart is regular without murmurs. There is no edema."),
    (CLINICIAN, "Assessment and plan. Cough due to lisinopril. Switch him to losartan and recheck in four weeks."),
]


def heard(turns: list[tuple[str, str]], *, turn_pause: float = 0.5) -> tuple[list[HeardWord], list[str]]:
    """Return the words with times (0.25 s each, 0.3 s after a sentence) and the true speaker of each."""
    words: list[HeardWord] = []
    speakers: list[str] = []
    now = 0.0
    for speaker, text in turns:
        for token in text.split():
            words.append(HeardWord(token, now, now + 0.25, 0.95))
            speakers.append(speaker)
            now += 0.25 + (0.3 if token[-1] in ".?" else 0.0)
        now += turn_pause - 0.3
    return words, speakers


def voices(
    words: list[HeardWord], speakers: list[str], order: list[str], *, noise: float, seed: int
) -> NDArray[np.float32]:
    """Return an affinity [n, k] as windows of 1.6 s give it, smeared and noisy; column j is the voice ``order[j]``."""
    middle = np.array([(w.start + w.end) / 2 for w in words])
    said = np.array([[float(speaker == name) for name in order] for speaker in speakers])
    near = np.abs(middle[:, None] - middle[None, :]) <= 0.8
    share = near @ said / near.sum(axis=1, keepdims=True)
    logits = 6 * share + np.random.default_rng(seed).normal(0, noise, share.shape)
    return np.asarray(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True), dtype=np.float32)
