"""The error tree of Osler. It knows nothing of HTTP or exit codes: each door maps it once.

A message is one line, says what to do next, and never holds PHI: no text of the visit, no file name.
"""


class OslerError(Exception):
    """Root of every error that Osler raises on purpose."""


class InputError(OslerError):
    """What the caller gave cannot be used."""


class UnreadableFileError(InputError):
    """The file is missing, a folder, or not permitted to be read."""


class NotAudioError(InputError):
    """The bytes are not audio, or audio that cannot be decoded."""


class EmptyAudioError(InputError):
    """The file holds no audio: zero bytes, or a stream of no samples."""


class NoSpeechError(InputError):
    """The recording holds no speech: silence, music or noise."""


class NotATranscriptError(InputError):
    """The text or JSON is not a transcript in a form that Osler reads."""


class NoClinicalContentError(InputError):
    """The transcript holds nothing that belongs in a clinical note."""


class UnknownNameError(InputError):
    """A template, model or option of that name does not exist; the message lists those that do."""


class OutputError(OslerError):
    """The result cannot be written where the caller wants it."""


class WeightsError(OslerError):
    """Model weights are missing or cannot be had."""


class WeightsMissingError(WeightsError):
    """The weights are not in the store; the message names the command that pulls them."""


class WrongDigestError(WeightsError):
    """A weights file has another SHA-256 than the lock file says; the message names the file."""


class SourceUnavailableError(WeightsError):
    """None of the sources of some weights could deliver them."""


class EngineError(OslerError):
    """A speech or language engine failed.

    ``retryable`` says whether the same call may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class MissingExtraError(OslerError):
    """An optional part is not installed; the message names the extra that brings it."""
