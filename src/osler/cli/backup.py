"""``osler backup`` and ``osler restore``: everything in one sealed file, and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.cli import exits
from osler.cli.output import JsonOption, OutputOption, check_writable, emit, progress_bar, warn

if TYPE_CHECKING:
    from osler.bootstrap.safekeeping import Report, Restored

FormerKeyOption = Annotated[
    Path | None,
    typer.Option(
        "--former-key-file",
        metavar="KEYFILE",
        help="The master key that the backup was made under, if it is another by now.",
        show_default=False,
        readable=False,
    ),
]


def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup: a new file.", readable=False)],
    verify: Annotated[bool, typer.Option("--verify", help="Write nothing: read the backup FILE whole.")] = False,
    with_blobs: Annotated[
        bool, typer.Option("--with-blobs", help="Recordings of a bucket too; those of a folder always are in it.")
    ] = False,
    former_key: FormerKeyOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> int:
    """Write everything that Osler keeps into one sealed file, while it works, and read it again to be sure."""
    if verify and with_blobs:
        raise typer.BadParameter("--with-blobs is for writing a backup, not for --verify")
    if former_key is not None and not verify:
        raise typer.BadParameter("--former-key-file goes with --verify")
    check_writable(output)
    import asyncio

    from osler import logs
    from osler.bootstrap import safekeeping

    logs.configure("warning")
    with progress_bar() as progress:
        if verify:
            report = safekeeping.verify_backup(file, former_key=former_key, progress=progress)
        else:
            report = asyncio.run(safekeeping.create_backup(file, with_objects=with_blobs, progress=progress))
    text = "\n".join(_lines(report, "The backup is whole" if verify else "The backup is written and was read again"))
    emit(text, report.to_json(), as_json=as_json, output=output)
    return _warn_of_losses(report)


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", readable=False)],
    former_key: FormerKeyOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> int:
    """Bring a backup into an empty deployment, and erase again what was erased after it was made."""
    check_writable(output)
    import asyncio

    from osler import logs
    from osler.bootstrap import safekeeping

    logs.configure("warning")
    with progress_bar() as progress:
        restored = asyncio.run(safekeeping.restore_backup(file, former_key=former_key, progress=progress))
    data = {
        **restored.report.to_json(),
        "erased_again": restored.erased_again,
        "continued": restored.continued,
        "objects_not_in_store": restored.objects_missing,
        "api_keys_work": restored.digest_key_fits,
    }
    emit(_restored_text(restored), data, as_json=as_json, output=output)
    if not restored.digest_key_fits:
        warn("the digest key is another than that of the backup: no API key works until it is put back.")
    if restored.objects_missing:
        warn(f"{restored.objects_missing} recordings that the backup lists are not in the blob store: put them back.")
    return _warn_of_losses(restored.report) or (exits.INCOMPLETE if restored.objects_missing else 0)


def _lines(report: "Report", outcome: str) -> list[str]:
    data: dict[str, Any] = report.to_json()
    objects = f"{data['objects']:,} recordings and documents ({data['object_bytes'] / 1e6:,.1f} MB)"
    if data["objects_listed"]:
        objects = f"{data['objects_listed']:,} recordings and documents listed only: the bucket keeps them"
    return [
        f"{outcome}: {data['bytes'] / 1e6:,.1f} MB, of {data['created_at']}.",
        f"It holds {data['rows']:,} rows; {objects}; {data['erasures']:,} erasures.",
        f"It opens with the master key {data['master_key_id']}, which is not in it, nor is the digest key.",
    ]


def _restored_text(restored: "Restored") -> str:
    lines = _lines(restored.report, "The backup is restored")
    lines.append(f"Erased again, as they were erased after it: {restored.erased_again:,}.")
    if restored.continued:
        lines.append("This went on with a restore that had been cut off.")
    lines.append("Work that was not finished goes on at the next osler serve or osler worker.")
    return "\n".join(lines)


def _warn_of_losses(report: "Report") -> int:
    """Say on standard error what the deployment had lost before it was backed up; return the exit code."""
    data = report.to_json()
    if data["objects_missing"]:
        warn(f"{data['objects_missing']} recordings or documents were missing from the blob store: an earlier backup "
             "may have them.")  # fmt: skip
    if data["keys_unreadable"]:
        warn(f"{data['keys_unreadable']} keys open with no master key that is here: what they seal cannot be read.")
    return 0 if report.complete else exits.INCOMPLETE
