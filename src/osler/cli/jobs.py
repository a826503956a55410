"""``osler jobs``: the work that waits, goes on or failed, and doing failed work again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from osler.cli.output import JsonOption, OutputOption, check_writable, emit, table
from osler.kernel.jobs import Job, JobFilter, JobState

if TYPE_CHECKING:
    from osler.bootstrap import Core

app = typer.Typer(no_args_is_help=True, help="The work of the pipeline: what waits, goes on or failed; do it again.")

OrganizationOption = Annotated[
    str | None, typer.Option("--org", metavar="ORG", help="Only of this organization.", show_default=False)
]


@app.command("list")
def list_jobs(
    organization_id: OrganizationOption = None,
    state: Annotated[JobState | None, typer.Option("--state", help="Only in this state.", show_default=False)] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many.")] = 100,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Show jobs, newest first, with the code of the error that ended a failed one."""
    check_writable(output)
    from osler.cli.core import run

    wanted = JobFilter(organization_id=organization_id, states=frozenset({state}) if state else None)

    async def read(core: "Core") -> Sequence[Job]:
        return await core.jobs.list(wanted, limit=limit)

    _show(run(read), "There are no such jobs.", as_json=as_json, output=output)


@app.command("retry")
def retry_jobs(
    job_id: Annotated[str | None, typer.Argument(metavar="[JOB]", help="One job.", show_default=False)] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="Every job that failed.")] = False,
    organization_id: OrganizationOption = None,
    as_json: JsonOption = False,
    output: OutputOption = None,
) -> None:
    """Have failed work done again by osler serve or osler worker."""
    if (job_id is None) is not all_failed:
        raise typer.BadParameter("give a JOB or --all-failed")
    if organization_id is not None and not all_failed:
        raise typer.BadParameter("--org goes with --all-failed")
    check_writable(output)
    from osler.audit.model import OPERATOR
    from osler.cli.core import run

    async def retry(core: "Core") -> Sequence[Job]:
        if job_id is not None:
            return [await core.jobs.retry(OPERATOR, job_id)]
        return await core.jobs.retry_failed(OPERATOR, organization_id)

    _show(run(retry, makes_jobs=True), "No job has failed.", as_json=as_json, output=output)


def _show(jobs: Sequence[Job], none: str, *, as_json: bool, output: Any) -> None:
    head = ("JOB", "KIND", "STATE", "ATTEMPT", "ERROR", "ORGANIZATION", "CREATED", "ENCOUNTER")
    rows = [
        (
            job.id,
            job.kind.value,
            job.state.value,
            str(job.attempt),
            job.error or "-",
            job.organization_id,
            job.created_at.isoformat(timespec="seconds"),
            job.subject.get("encounter", "-"),
        )
        for job in jobs
    ]
    emit(table(head, rows) if rows else none, {"jobs": [_to_json(job) for job in jobs]}, as_json=as_json, output=output)


def _to_json(job: Job) -> dict[str, Any]:
    return {
        "job_id": job.id,
        "organization_id": job.organization_id,
        "kind": job.kind.value,
        "state": job.state.value,
        "attempt": job.attempt,
        "error": job.error,
        "subject": dict(job.subject),
        "created_at": job.created_at.isoformat(),
        "updated_at": job.updated_at.isoformat() if job.updated_at else None,
    }
