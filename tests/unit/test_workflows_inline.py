"""What every engine promises of steps, attempts and states, shown on the one that runs in line."""

from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import timedelta

import pytest

from osler.kernel.clock import SystemClock
from osler.kernel.errors import ConflictError, DatabaseUnavailableError, EngineError, NoSpeechError, NotFoundError
from osler.kernel.jobs import Job, JobFilter, JobKind, JobState
from osler.kernel.transactions import Transaction
from osler.storage.database import SqlDatabase
from osler.workflows.attempts import JobStates
from osler.workflows.inline import InlineEngine
from tests.unit.workflow_lab import Diary, a_job, jobs, no_pause, state_of

pytestmark = pytest.mark.anyio


def engine_on(database: SqlDatabase) -> InlineEngine:
    return InlineEngine(database, jobs, SystemClock(), pause=no_pause)


async def enqueue(engine: InlineEngine, database: SqlDatabase, job: Job) -> bool:
    async with database.write() as transaction:
        return await engine.enqueue(transaction, job)


async def retry(engine: InlineEngine, database: SqlDatabase, job_id: str) -> Job:
    async with database.write() as transaction:
        return await engine.retry(transaction, job_id)


async def test_a_jobs_steps_run_in_order_once_its_transaction_is_committed(database: SqlDatabase) -> None:
    diary, job = Diary(), a_job()
    engine = engine_on(database)
    await engine.start([diary.workflow(diary.step("draft"), diary.step("check"))], execute=True)
    async with database.write() as transaction:
        assert await engine.enqueue(transaction, job)
        assert diary.of(job) == []
    assert diary.of(job) == ["draft", "check"]
    assert (await state_of(database, job)).state is JobState.DONE


async def test_a_job_of_a_rolled_back_transaction_never_runs(database: SqlDatabase) -> None:
    diary, job = Diary(), a_job()
    engine = engine_on(database)
    await engine.start([diary.workflow(diary.step("draft"))], execute=True)
    with pytest.raises(ZeroDivisionError):
        async with database.write() as transaction:
            await engine.enqueue(transaction, job)
            raise ZeroDivisionError
    with pytest.raises(NotFoundError):
        await state_of(database, job)
    await enqueue(engine, database, a_job())
    assert diary.of(job) == []


async def test_the_same_job_twice_runs_once(database: SqlDatabase) -> None:
    diary, job = Diary(), a_job()
    engine = engine_on(database)
    await engine.start([diary.workflow(diary.step("draft"))], execute=True)
    assert [await enqueue(engine, database, job) for _ in range(2)] == [True, False]
    assert diary.of(job) == ["draft"]


async def test_a_step_that_fails_is_tried_as_often_as_it_allows_with_doubling_pauses(database: SqlDatabase) -> None:
    diary, job, pauses = Diary(), a_job(), list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    async def fail(_job: Job) -> None:
        raise EngineError("the engine is busy", retryable=True)

    engine = InlineEngine(database, jobs, SystemClock(), pause=pause)
    await engine.start(
        [diary.workflow(diary.step("draft", fail, attempts=4, delay=0.5), diary.step("check"))], execute=True
    )
    await enqueue(engine, database, job)
    assert diary.of(job) == ["draft"] * 4 + ["failed: EngineError"]
    assert pauses == [0.5, 1.0, 2.0]
    seen = await state_of(database, job)
    assert (seen.state, seen.error) == (JobState.FAILED, "EngineError")


async def test_a_step_that_succeeds_at_last_leaves_no_failure(database: SqlDatabase) -> None:
    diary, job = Diary(), a_job()

    async def fail_twice(job: Job) -> None:
        if diary.of(job).count("draft") < 3:
            raise DatabaseUnavailableError("the database does not answer")

    engine = engine_on(database)
    await engine.start([diary.workflow(diary.step("draft", fail_twice))], execute=True)
    await enqueue(engine, database, job)
    assert diary.of(job) == ["draft"] * 3
    seen = await state_of(database, job)
    assert (seen.state, seen.error) == (JobState.DONE, None)


@pytest.mark.parametrize("error", [NoSpeechError("nobody speaks"), EngineError("no such model", retryable=False)])
async def test_what_cannot_succeed_later_is_not_tried_again(database: SqlDatabase, error: Exception) -> None:
    diary, job = Diary(), a_job()

    async def fail(_job: Job) -> None:
        raise error

    engine = engine_on(database)
    await engine.start([diary.workflow(diary.step("draft", fail))], execute=True)
    await enqueue(engine, database, job)
    assert diary.of(job) == ["draft", f"failed: {type(error).__name__}"]


async def test_the_workflow_hears_of_a_failure_before_the_job_shows_it(database: SqlDatabase) -> None:
    diary, job, seen = Diary(), a_job(), list[JobState]()

    async def look(job: Job, _code: str) -> None:
        seen.append((await state_of(database, job)).state)

    async def fail(_job: Job) -> None:
        raise NoSpeechError("nobody speaks")

    workflow = diary.workflow(diary.step("draft", fail))
    engine = engine_on(database)
    await engine.start([type(workflow)(workflow.kind, workflow.steps, look)], execute=True)
    await enqueue(engine, database, job)
    assert seen == [JobState.RUNNING]
    assert (await state_of(database, job)).state is JobState.FAILED


async def test_a_failed_job_can_be_retried_from_its_first_step_and_no_other(database: SqlDatabase) -> None:
    diary, job = Diary(), a_job()

    async def fail_once(job: Job) -> None:
        if job.attempt == 1:
            raise NoSpeechError("nobody speaks")

    engine = engine_on(database)
    await engine.start([diary.workflow(diary.step("draft"), diary.step("check", fail_once))], execute=True)
    await enqueue(engine, database, job)
    retried = await retry(engine, database, job.id)
    assert (retried.attempt, retried.state, retried.error) == (2, JobState.QUEUED, None)
    assert diary.of(job) == ["draft", "check", "failed: NoSpeechError", "draft", "check"]
    assert (await state_of(database, job)).state is JobState.DONE
    with pytest.raises(ConflictError):
        await retry(engine, database, job.id)
    with pytest.raises(NotFoundError):
        await retry(engine, database, "nobody")


async def test_a_job_that_a_step_enqueues_runs_after_it(database: SqlDatabase) -> None:
    diary, first, second = Diary(), a_job(JobKind.TRANSCRIBE_RECORDING), a_job()
    engine = engine_on(database)

    async def enqueue_second(_job: Job) -> None:
        await enqueue(engine, database, second)

    await engine.start(
        [
            diary.workflow(diary.step("hear", enqueue_second), diary.step("tell"), kind=JobKind.TRANSCRIBE_RECORDING),
            diary.workflow(diary.step("draft")),
        ],
        execute=True,
    )
    await enqueue(engine, database, first)
    assert diary.entries == [("hear", first.id), ("tell", first.id), ("draft", second.id)]


async def test_what_an_earlier_process_left_is_run_at_the_start(database: SqlDatabase) -> None:
    diary, job = Diary(), a_job()
    before, after = engine_on(database), engine_on(database)
    await before.start([], execute=False)
    await enqueue(before, database, job)
    await before.stop()
    await after.start([diary.workflow(diary.step("draft"))], execute=True)
    assert diary.of(job) == ["draft"]


async def test_a_late_worker_cannot_change_a_job_that_ended_or_was_retried(database: SqlDatabase) -> None:
    diary, job, ended = Diary(), a_job(), a_job()
    workflow = diary.workflow(diary.step("draft"))
    states = JobStates(database, jobs, SystemClock(), pause=no_pause)
    async with database.write() as transaction:
        await jobs.add(transaction, job)
        await jobs.add(transaction, ended)
    late, late_with_ended = await states.begin(job.id, 1), await states.begin(ended.id, 1)
    assert late is not None and late_with_ended is not None
    await states.finish(workflow, late, "EngineError")
    async with database.write() as transaction:
        await states.again(transaction, job.id)
    await states.finish(workflow, late_with_ended, None)

    assert await states.begin(ended.id, 1) is None
    await states.finish(workflow, late_with_ended, "EngineError")
    assert (await state_of(database, ended)).state is JobState.DONE
    assert await states.begin(job.id, 1) is None
    await states.finish(workflow, late, None)
    await states.finish(workflow, late, "EngineError")
    seen = await state_of(database, job)
    assert (seen.state, seen.attempt, seen.error) == (JobState.QUEUED, 2, None)
    assert diary.entries == [("failed: EngineError", job.id)]


async def test_a_state_is_written_as_soon_as_the_database_is_back(database: SqlDatabase) -> None:
    diary, job, pauses = Diary(), a_job(), list[float]()

    async def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 7:
            away.clear()

    away = {"away"}

    class Flaky:
        def read(self) -> AbstractAsyncContextManager[Transaction]:
            return database.read()

        def write(self) -> AbstractAsyncContextManager[Transaction]:
            if away:
                raise DatabaseUnavailableError("the database does not answer")
            return database.write()

    async with database.write() as transaction:
        await jobs.add(transaction, job)
    states = JobStates(Flaky(), jobs, SystemClock(), pause=pause)
    assert await states.begin(job.id, 1) is not None
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
    assert (await state_of(database, job)).state is JobState.RUNNING
    assert diary.entries == []


async def test_jobs_are_listed_newest_first_and_counted(database: SqlDatabase) -> None:
    engine = engine_on(database)
    await engine.start([], execute=False)
    now, kinds = SystemClock().now(), (JobKind.WRITE_NOTE, JobKind.PARSE_CONTEXT, JobKind.WRITE_NOTE)
    mine = [replace(a_job(kind), created_at=now + timedelta(seconds=at)) for at, kind in enumerate(kinds)]
    other = a_job(organization_id="elsewhere")
    for job in (*mine, other):
        await enqueue(engine, database, job)
    async with database.read() as transaction:
        listed = await jobs.list(transaction, JobFilter(organization_id="clinic"))
        assert [job.id for job in listed] == [job.id for job in reversed(mine)]
        assert listed[-1] == mine[0]
        parsing = await jobs.list(transaction, JobFilter(kinds=frozenset({JobKind.PARSE_CONTEXT})))
        assert [job.id for job in parsing] == [mine[1].id]
        of_visit = JobFilter(encounter_id="424242424242424242", states=frozenset({JobState.QUEUED}))
        assert len(await jobs.list(transaction, of_visit, limit=3)) == 3
        assert await jobs.list(transaction, JobFilter(encounter_id="1")) == []
        assert await jobs.counts(transaction) == {
            (JobKind.WRITE_NOTE, JobState.QUEUED): 3,
            (JobKind.PARSE_CONTEXT, JobState.QUEUED): 1,
        }
