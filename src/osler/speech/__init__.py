"""Speech: from decoded audio to a transcript of turns with speakers, words and times."""
