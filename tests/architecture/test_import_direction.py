"""The house's one-way imports, read from the source itself."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "osler"

LEFT_OF: dict[str, tuple[str, ...]] = {
    "kernel": (),
    "audit": ("kernel",),
    "access": ("kernel", "audit"),
    "encounters": ("kernel", "audit", "access"),
    "audio": ("kernel", "audit", "access", "encounters"),
    "speech": ("kernel", "audit", "access", "encounters", "audio"),
    "notes": ("kernel", "audit", "access", "encounters", "audio", "speech"),
    "coding": ("kernel", "audit", "access", "encounters", "audio", "speech", "notes"),
    "release": ("kernel", "audit", "access", "encounters", "audio", "speech", "notes", "coding"),
}
ROOMS = tuple(LEFT_OF)
ADAPTERS = ("engines", "weights", "storage", "workflows")
ALLOWED: dict[str, tuple[str, ...]] = {
    **LEFT_OF,
    "weights": ("kernel",),
    "engines": ROOMS,
    "pipeline": ROOMS,
    # The rows of jobs are the pipeline's; its port and the workflow engine's stand beside each other.
    "storage": (*ROOMS, "pipeline"),
    "workflows": (*ROOMS, "pipeline"),
    "config": (),
    "logs": (),
    "bootstrap": (*ROOMS, *ADAPTERS, "pipeline", "config", "logs"),
    "__main__": ("cli",),
    "api": (*ROOMS, "pipeline", "logs"),
    # The command line is an entry point: it builds the app that it serves.
    "cli": (*ROOMS, "pipeline", "weights", "bootstrap", "config", "logs", "api"),
}


def python_files() -> list[Path]:
    return sorted(p for p in SOURCE.rglob("*.py") if p != SOURCE / "__init__.py")


def part_of(path: Path) -> str:
    first = path.relative_to(SOURCE).parts[0]
    return first.removesuffix(".py")


def imported_parts(path: Path) -> Iterator[str]:
    """Yield the parts of the house that a file imports, wherever in the file the import stands."""
    for node in ast.walk(ast.parse(path.read_text())):
        modules: list[str] = []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.relative_to(SOURCE)} imports relatively; write the full path"
            module = node.module or ""
            modules = [f"osler.{alias.name}" for alias in node.names] if module == "osler" else [module]
        for module in modules:
            parts = module.split(".")
            if parts[0] == "osler" and len(parts) > 1:
                yield parts[1]


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_imports_only_its_own_part_and_those_to_its_left(path: Path) -> None:
    part = part_of(path)
    assert part in ALLOWED, f"{part} is new: say in this test what it may import"
    wrong = {p for p in imported_parts(path) if p not in (part, "__version__", *ALLOWED[part])}
    assert not wrong, f"{path.relative_to(SOURCE)} must not import {sorted(wrong)}"


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_engines_are_imported_only_where_they_are_wired(path: Path) -> None:
    if part_of(path) not in ("engines", "bootstrap"):
        assert "engines" not in set(imported_parts(path))


def test_the_check_sees_an_import_against_the_direction(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(
        "def f():\n    from osler.notes.model import Note\n    import osler.cli.app\n    from osler import speech\n"
    )
    assert set(imported_parts(bad)) == {"notes", "cli", "speech"}


@pytest.mark.parametrize("folder", sorted(p.name for p in SOURCE.iterdir() if (p / "__init__.py").exists()))
def test_every_folder_says_what_it_is_for(folder: str) -> None:
    assert (SOURCE / folder / "README.md").read_text().startswith(f"# {folder}\n")


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_is_one_thing_and_not_a_drawer(path: Path) -> None:
    assert path.stem not in {"utils", "helpers", "manager", "common", "misc"}
    assert len(path.read_text().splitlines()) <= 500
    assert ast.get_docstring(ast.parse(path.read_text())), "the first line says what the file is for"
