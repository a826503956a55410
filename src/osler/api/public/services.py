"""What the public API needs of an opened core."""

from typing import Protocol

from osler.access.public import PublicAccess
from osler.access.service import AccessService
from osler.audit.disclosures import DisclosureService
from osler.release.reading import PublicReadingService


class PublicParts(Protocol):
    """What stands behind the public API alone."""

    @property
    def access(self) -> PublicAccess: ...

    @property
    def reading(self) -> PublicReadingService: ...

    @property
    def disclosures(self) -> DisclosureService: ...

    @property
    def requests_per_minute(self) -> int:
        """Requests of one key to this process; 0: any number."""
        ...

    @property
    def test_keys(self) -> bool:
        """Whether test keys are taken: in a test environment only."""
        ...


class PublicServices(Protocol):
    """The opened core as the public API sees it."""

    @property
    def access(self) -> AccessService: ...

    @property
    def public(self) -> PublicParts: ...
