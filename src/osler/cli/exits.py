"""Exit codes: the one table from Osler's errors to what a shell sees."""

from typing import Final

from osler.kernel import errors

USAGE: Final = 2
INCOMPLETE: Final = 3
"""The result is written, but something could not be read: a recording that breaks off, what a deployment had lost."""
INTERNAL: Final = 70
INTERRUPTED: Final = 130

CODES: Final[dict[type[errors.OslerError], int]] = {
    errors.UnreadableFileError: 10,
    errors.NotAudioError: 11,
    errors.EmptyAudioError: 12,
    errors.NoSpeechError: 13,
    errors.NotATranscriptError: 14,
    errors.NoClinicalContentError: 15,
    errors.UnknownNameError: 16,
    errors.NotFoundError: 17,
    errors.InvalidFieldError: 18,
    errors.InputError: 19,
    errors.OutputError: 20,
    errors.ConflictError: 21,
    errors.ConsentRequiredError: 22,
    errors.ErasedError: 23,
    errors.NotAllowedError: 24,
    errors.UnreadableDocumentError: 25,
    errors.BrokenReleaseError: 26,
    errors.UnsupportedLanguageError: 27,
    errors.WeightsMissingError: 30,
    errors.WrongDigestError: 31,
    errors.SourceUnavailableError: 32,
    errors.TerminologyMissingError: 33,
    errors.WeightsError: 39,
    errors.EngineError: 40,
    errors.MissingExtraError: 41,
    errors.DatabaseUnavailableError: 50,
    errors.BlobsUnavailableError: 51,
    errors.StorageFullError: 52,
    errors.CorruptedError: 53,
    errors.NewerDatabaseError: 54,
    errors.OlderDatabaseError: 55,
    errors.MasterKeyError: 56,
    errors.BackupError: 57,
    errors.StorageError: 59,
    errors.ExecutorTakenError: 60,
    errors.ListenError: 61,
}


def code_of(error: errors.OslerError) -> int:
    """Return the exit code of an error: that of its nearest class in the table, else INTERNAL."""
    for cls in type(error).__mro__:
        if cls in CODES:
            return CODES[cls]
    return INTERNAL
