"""Note templates: which sections a note has, in what order, under what headings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Template:
    """A named list of sections; each is (key, heading). Keys are those of ``data/sections.toml``."""

    name: str
    title: str
    sections: tuple[tuple[str, str], ...]
