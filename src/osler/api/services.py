"""What the HTTP door needs of an opened core. The entry point hands it one; the door never builds it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from osler.api.public.services import PublicServices
from osler.api.scribe.services import ScribeServices
from osler.audio.playback import PlaybackService
from osler.kernel.blobs import BlobVault
from osler.pipeline.ports import WorkflowEngine
from osler.pipeline.service import JobService


class Checked(Protocol):
    """Something that can say whether it works."""

    async def check(self) -> None:
        """Do nothing if it works now; raise what is wrong with it."""
        ...


class MediaVault(BlobVault, Checked, Protocol):
    """The vault, which also checks the signed URLs that it made."""

    def verify_media_url(self, blob_id: str, *, expires: str, media_type: str, signature: str) -> datetime:
        """Return when the URL expires.

        Raises NotAllowedError with the code ``media_url_invalid`` or ``media_url_expired``.
        """
        ...

    def verify_recording_url(self, recording_id: str, *, expires: str, media_type: str, signature: str) -> datetime:
        """As :meth:`verify_media_url`, for the URL of a whole recording."""
        ...


class Services(ScribeServices, PublicServices, Protocol):
    """The opened core as the door sees it."""

    @property
    def database(self) -> Checked: ...

    @property
    def vault(self) -> MediaVault: ...

    @property
    def engine(self) -> WorkflowEngine: ...

    @property
    def jobs(self) -> JobService: ...

    @property
    def playback(self) -> PlaybackService: ...

    @property
    def executes(self) -> bool:
        """Whether this process runs jobs and so needs model weights."""
        ...

    @property
    def max_upload_bytes(self) -> int: ...

    @property
    def pause_seconds(self) -> float:
        """How long a client may pause inside of a request's body."""
        ...

    def missing_weights(self) -> Sequence[str]:
        """Return the names of the models that this process needs and the store does not have whole."""
        ...
