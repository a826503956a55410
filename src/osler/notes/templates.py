"""Note templates: which sections a note has, in what order, under what headings."""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from osler.kernel.errors import UnknownNameError


@dataclass(frozen=True, slots=True)
class TemplateSection:
    """A heading and the parts of a note under it, in order; parts are the keys of ``data/sections.toml``."""

    heading: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Template:
    """A named list of sections."""

    name: str
    title: str
    sections: tuple[TemplateSection, ...]


@cache
def part_names() -> tuple[str, ...]:
    """Return the keys of the parts of a note, in the order of the full note."""
    return tuple(tomllib.loads(files("osler.notes").joinpath("data", "sections.toml").read_text(encoding="utf-8")))


@cache
def template_names() -> tuple[str, ...]:
    """Return the names of the templates, sorted."""
    folder = files("osler.notes").joinpath("data", "templates")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


@cache
def load_template(name: str) -> Template:
    """Return the template of that name. Raises UnknownNameError, which lists the names that exist."""
    if name not in template_names():
        raise UnknownNameError(f"There is no such note template; choose one of: {', '.join(template_names())}.")
    path = files("osler.notes").joinpath("data", "templates", f"{name}.toml")
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    sections = tuple(TemplateSection(s["heading"], tuple(s["parts"])) for s in data["sections"])
    unknown = {part for s in sections for part in s.parts} - set(part_names())
    if unknown:
        raise ValueError(f"template {name} names parts that no note has: {', '.join(sorted(unknown))}")
    return Template(name, data["title"], sections)
