"""Which database a URL names, and what is said of a URL that names none."""

import sys
from pathlib import Path

import pytest

from osler.kernel.errors import InvalidFieldError, MissingExtraError
from osler.storage.database import SqlDatabase
from osler.storage.database_url import PostgresqlLocation, SqliteLocation, read_url


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:////var/lib/osler/osler.db", "/var/lib/osler/osler.db"),
        ("sqlite+aiosqlite:////var/lib/osler.db", "/var/lib/osler.db"),
        ("SQLite:////a 50% folder/osler.db", "/a 50% folder/osler.db"),
        ("sqlite:///data/osler.db", str(Path("data/osler.db").absolute())),
        ("sqlite:///~/osler.db", str(Path("~/osler.db").expanduser())),
    ],
)
def test_a_sqlite_url_names_a_file_by_its_absolute_path(url: str, path: str) -> None:
    location = read_url(url)
    assert isinstance(location, SqliteLocation)
    assert str(location.path) == path


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg"])
def test_a_postgresql_url_goes_to_the_driver_as_it_was_written(scheme: str) -> None:
    rest = "osler:secret@db.example:5433/osler?sslmode=verify-full&sslrootcert=/etc/ca.pem"
    location = read_url(f"{scheme}://{rest}")
    assert isinstance(location, PostgresqlLocation)
    assert location.dsn == f"postgresql://{rest}"


@pytest.mark.parametrize(
    ("written", "given"),
    [
        ("//o:p%40ss@db/osler?connect_timeout=5&sslmode=require&keepalives=1", "//o:p%40ss@db/osler?sslmode=require"),
        ("///osler?host=/run/postgresql&connect_timeout=5", "///osler?host=/run/postgresql"),
        ("//one:5432,two:5433/osler?connect_timeout=5", "//one:5432,two:5433/osler"),
    ],
)
def test_what_only_libpq_knows_is_kept_from_asyncpg(written: str, given: str) -> None:
    location = read_url(f"postgresql:{written}")
    assert isinstance(location, PostgresqlLocation)
    assert location.known_to_asyncpg() == f"postgresql:{given}"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "osler.db",
        "mysql://osler:secret@db/osler",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:////osler.db?mode=ro",
        "postgresql://osler:secret@db:port/osler",
    ],
)
def test_another_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(InvalidFieldError) as error:
        SqlDatabase(url)
    assert error.value.field == "database_url"
    assert "secret" not in str(error.value)


def test_a_missing_driver_is_named_with_the_extra_that_brings_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(MissingExtraError, match=r"osler\[postgres\]"):
        SqlDatabase("postgresql://db/osler")


def test_making_a_database_object_touches_nothing(tmp_path: Path) -> None:
    SqlDatabase(f"sqlite:///{tmp_path / 'osler.db'}")
    SqlDatabase("postgresql://nowhere.invalid/osler")
    assert list(tmp_path.iterdir()) == []
