"""What made a result: an engine's label, version and options, stored beside the result."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Option = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """Label (for instance ``faster-whisper/base``), version of the engine and the options that shaped the result."""

    label: str
    version: str
    options: Mapping[str, Option] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {"label": self.label, "version": self.version, "options": dict(self.options)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "EngineRecord":
        """Read what :meth:`to_json` wrote. Raises KeyError on a missing field."""
        return cls(str(data["label"]), str(data["version"]), dict(data.get("options") or {}))
