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


class UnsupportedLanguageError(InputError):
    """Nothing that is configured writes this language; the message names what would."""


class UnreadableDocumentError(InputError):
    """A context document cannot be read; ``code`` says why in a word, the message what its sender can do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class UnknownNameError(InputError):
    """A template, model or option of that name does not exist; the message lists those that do."""


class BrokenReleaseError(InputError):
    """The release file of a terminology is damaged or not what its system's releases look like; names file and line."""


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


class TerminologyMissingError(OslerError):
    """The codes of a system are not installed; the message says whose they are and which command imports them."""


class EngineError(OslerError):
    """A speech or language engine failed.

    ``retryable`` says whether the same call may succeed later.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class MissingExtraError(OslerError):
    """An optional part is not installed; the message names the extra that brings it."""


class NotFoundError(InputError):
    """No such thing in this organization; the message names its kind, exactly as for one of another organization.

    ``field`` names the field that referred to it, where that was not the thing that was asked for itself.
    """

    def __init__(self, message: str, *, field: str | None = None) -> None:
        super().__init__(message)
        self.field = field


class ConflictError(InputError):
    """The request contradicts what is stored: taken name, other bytes for a segment, already linked."""


class ConsentRequiredError(ConflictError):
    """The organization requires the patient's consent, and the encounter does not have it."""


class ErasedError(ConflictError):
    """The encounter or its audio was erased for good."""


class InvalidFieldError(InputError):
    """A field's value cannot be used; ``field`` names it, the message never quotes its value."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class NotAllowedError(OslerError):
    """The caller is not who he says, or may not do this; ``code`` says which rule refused."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class StorageError(OslerError):
    """The database or blob store cannot do what it must."""


class DatabaseUnavailableError(StorageError):
    """The database cannot be reached, is locked for too long, or refuses the connection. Try again later."""


class BlobsUnavailableError(StorageError):
    """The blob store cannot be reached or refuses. Try again later."""


class StorageFullError(StorageError):
    """No space is left for the database or blobs. Nothing that was acknowledged is lost."""


class CorruptedError(StorageError):
    """A stored object does not have the bytes that were written: its authentication tag does not fit."""


class NewerDatabaseError(StorageError):
    """The database was written by a newer version of Osler."""


class OlderDatabaseError(StorageError):
    """The database must be migrated first; the message names the command."""


class MasterKeyError(StorageError):
    """The master key is missing, unreadable or another than the one that sealed this data."""


class BackupError(StorageError):
    """The backup cannot be written or read: damaged, of another key, or the target is not empty."""


class ExecutorTakenError(OslerError):
    """Another live process works under this executor id."""


class ListenError(OslerError):
    """The server cannot listen where it was told to: the port is taken or not permitted, the address is not ours."""
