"""All that Osler knows of dbos 3.4, private parts included: one place to look at when its version changes.

Everything here is synchronous and talks to the database: call it in a thread, never on the event loop. What dbos stores
of a job is its id, its attempt, the names of its steps, and the class name of the error that ended it.
"""

import logging
import threading
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from types import SimpleNamespace
from typing import Final

import dbos._sys_db
import dbos._utils
import psycopg
from dbos import DBOS, DBOSClient
from dbos._dbos import _get_or_create_dbos_registry
from dbos._serialization import DBOSPortableJSONSerializer
from dbos._utils import INTERNAL_QUEUE_NAME, GlobalParams
from sqlalchemy import Connection, bindparam, literal_column, make_url, select
from sqlalchemy.exc import SQLAlchemyError

from osler.kernel.errors import DatabaseUnavailableError
from osler.kernel.jobs import Job, JobKind

APPLICATION: Final = "osler"

VERSION: Final = "1"
"""dbos only runs work of its own version. It stays as it is, so that a new release finishes the work of the old one."""

WORKFLOW: Final = "job"

MOST_STARTS: Final = 20
"""A job that was begun so often without end kills the processes that run it: it is given up."""

CONNECT_TIMEOUT: Final = "10"
"""Seconds in which PostgreSQL must accept a connection."""

LONGEST_PAUSE: Final = 5.0
"""Seconds between two tries to write to a database that is away."""

LONGEST_LOOK: Final = 5.0
"""Seconds that a look for work may take before the end of a process does not wait for it any more."""

IDLE_POLL: Final = 60.0
"""Seconds between two looks at dbos's own queue, which Osler does not use."""

FINAL_STATUSES: Final = frozenset({"SUCCESS", "ERROR", "CANCELLED", "MAX_RECOVERY_ATTEMPTS_EXCEEDED"})

RunJob = Callable[[str], Awaitable[None]]

_log: Final = logging.getLogger(__name__)


class _WithoutText(logging.Handler):
    """Passes on where in dbos something was logged, and what class of error: texts may hold statements with values."""

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[0] if record.exc_info else None
        place = f"{record.filename}:{record.lineno}"
        _log.log(record.levelno, "dbos reported something", extra={"place": place, "error": error})


def _quieten() -> None:
    # With a handler there, dbos adds none that writes its texts to the console.
    logger = logging.getLogger("dbos")
    if not any(isinstance(handler, _WithoutText) for handler in logger.handlers):
        logger.handlers[:] = [_WithoutText()]
    logger.propagate = False
    logger.setLevel(logging.WARNING)


_ending: Final = threading.Event()
"""Set from the moment when the launched library is to end: nothing waits for the database any more."""


def _wait_out_outages() -> None:
    """Have dbos try again after every error of a connection, every few seconds, until it is to end.

    It knows such errors by words that the driver does not use any more, and would take a step that ended while
    PostgreSQL was away for one that failed. An error without a code of the server's (SQLSTATE) is one of the
    connection. Its own pauses grow to a minute and more, and it goes on for ever: a process told to stop meanwhile
    would hang.
    """
    known = dbos._utils.retriable_postgres_exception

    def retriable(error: Exception) -> bool:
        reason = getattr(error, "orig", None)
        if _ending.is_set():
            return False
        return known(error) or (isinstance(reason, psycopg.OperationalError) and reason.sqlstate is None)

    def sleep(seconds: float) -> None:
        if _ending.is_set():
            time.sleep(min(seconds, 0.05))
        else:
            _ending.wait(min(seconds, LONGEST_PAUSE))

    vars(dbos._sys_db).update(
        retriable_postgres_exception=retriable, time=SimpleNamespace(**{**vars(time), "sleep": sleep})
    )


_wait_out_outages()


def _bounded(url: str) -> str:
    """Return the URL of PostgreSQL with a limit to the time that a connection may take; others unchanged."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite" or "connect_timeout" in parsed.query:
        return url
    return parsed.update_query_dict({"connect_timeout": CONNECT_TIMEOUT}).render_as_string(hide_password=False)


def workflow_id(job: Job) -> str:
    """Return dbos's id of one attempt of a job: enqueued twice, it is one workflow."""
    return f"{job.id}.{job.attempt}"


def attempt_of(workflow: str) -> int:
    """Return the attempt that a workflow id names."""
    return int(workflow.rpartition(".")[2])


class DbosLibrary:
    """The system tables of dbos in Osler's own database, and, between ``launch`` and ``destroy``, its queues' threads.

    dbos keeps one instance for the whole process, so only one library may be launched at a time.
    """

    def __init__(self, system_database_url: str) -> None:
        _quieten()
        # An environment variable makes dbos report to its makers' service.
        GlobalParams.dbos_cloud = False
        self._url = _bounded(system_database_url)
        self._client = DBOSClient(
            system_database_url=self._url,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            system_database_pool_size=2,
            # A database that is away is an error to answer for here, not a reason to wait for ever.
            retry_connection_errors=False,
            lazy=True,
        )
        self._system = self._client._sys_db
        self._instance: DBOS | None = None
        self._kinds: frozenset[JobKind] = frozenset()

    def migrate(self) -> None:
        """Make or renew dbos's tables. Raises DatabaseUnavailableError."""
        try:
            self._system.run_migrations()
        except SQLAlchemyError as error:
            # From None, and its class only: the text may name hosts and accounts.
            raise DatabaseUnavailableError(
                f"the tables of the work queues cannot be made ready ({type(error).__name__}): check that the database "
                "runs and that Osler's account may create a schema in it"
            ) from None

    def close(self) -> None:
        """Close the connections."""
        self._client.destroy()

    def ping(self) -> None:
        """Raise unless dbos's tables can be read."""
        with self._system.engine.connect() as connection:
            connection.execute(select(self._system.tables.workflow_status.c.workflow_uuid).limit(1)).all()

    def enqueue(self, connection: Connection, job: Job) -> None:
        """Enqueue an attempt of a job in the transaction of ``connection``; once, if it is enqueued already."""
        self._client.enqueue_in_transaction(
            connection,
            {
                "workflow_name": WORKFLOW,
                "queue_name": job.kind.value,
                "workflow_id": workflow_id(job),
                "app_version": VERSION,
            },
            job.id,
        )

    def statuses(self, workflows: Collection[str]) -> dict[str, str]:
        """Return what dbos says of those of the workflows that it knows."""
        table = self._system.tables.workflow_status
        query = select(table.c.workflow_uuid, table.c.status).where(table.c.workflow_uuid.in_(list(workflows)))
        with self._system.engine.connect() as connection:
            return {row.workflow_uuid: row.status for row in connection.execute(query)}

    def executors_at_work(self) -> frozenset[str]:
        """Return the incarnations that claimed work which is not ended."""
        table = self._system.tables.workflow_status
        query = select(table.c.executor_id).where(table.c.status == literal_column("'PENDING'")).distinct()
        with self._system.engine.connect() as connection:
            return frozenset(row.executor_id for row in connection.execute(query) if row.executor_id)

    def take_over(self, incarnations: Collection[str]) -> int:
        """Put back into their queues what dead processes were at, and return how much it was.

        The call is private to dbos. It changes only what still belongs to them, so two processes may make it at once.
        """
        taken = 0
        for incarnation in incarnations:
            for pending in self._system.get_pending_workflows(incarnation, VERSION):
                taken += self._system.reenqueue_for_recovery(pending.workflow_id, [incarnation], INTERNAL_QUEUE_NAME)
        return taken

    def forget_finished(self, *, older_than: float, limit: int) -> None:
        """Delete dbos's own rows of work that ended more than ``older_than`` seconds ago. The jobs stay."""
        table = self._system.tables.workflow_status
        before = int((time.time() - older_than) * 1000)
        query = select(table.c.workflow_uuid).where(table.c.completed_at < before).limit(limit)
        with self._system.engine.connect() as connection:
            ended = [row.workflow_uuid for row in connection.execute(query)]
        if ended:
            self._system.delete_workflows(ended)

    def launch(self, incarnation: str, run: RunJob, queues: Mapping[JobKind, tuple[int, float]]) -> None:
        """Run jobs: ``run`` is awaited with the id of each, on an event loop of dbos's own.

        ``queues`` gives for each kind how many run at once in this process, and the seconds between two looks for more.
        """

        async def job(job_id: str) -> None:
            await run(job_id)

        # Named here, as the name of a function inside another has dots and angle brackets.
        DBOS.workflow(name=WORKFLOW, max_recovery_attempts=MOST_STARTS)(job)
        registry = _get_or_create_dbos_registry()
        # In memory, not in dbos's table of queues: each process has its own concurrency, and looks cost half.
        registry._register_internal_queue(INTERNAL_QUEUE_NAME, polling_interval_sec=IDLE_POLL)
        for kind, (concurrency, poll) in queues.items():
            registry._register_internal_queue(kind.value, worker_concurrency=concurrency, polling_interval_sec=poll)
        _ending.clear()
        self._instance = DBOS(
            config={
                "name": APPLICATION,
                "system_database_url": self._url,
                "application_version": VERSION,
                "executor_id": incarnation,
                "serializer": DBOSPortableJSONSerializer(),
                "enable_otlp": False,
                "use_listen_notify": False,
                "notification_listener_polling_interval_sec": 0.5,
                "sys_db_pool_size": 5,
                "log_level": "WARNING",
                "run_migrations": False,
            }
        )
        self._kinds = frozenset(queues)
        _quieten()
        DBOS.launch()
        _look_cheaply(self._instance)
        end = time.monotonic() + LONGEST_LOOK
        while not self.alive() and time.monotonic() < end:
            time.sleep(0.01)

    @staticmethod
    def ending() -> bool:
        """Say whether ``destroy`` was called: an error of the database then says nothing about a job."""
        return _ending.is_set()

    def take_no_more(self) -> None:
        """Claim no further work; what runs goes on."""
        if self._instance is not None:
            for event in self._instance.background_thread_stop_events:
                event.set()

    def alive(self) -> bool:
        """Say whether the threads that look for work are alive."""
        return self._instance is not None and len(self._looking()) == len(self._kinds)

    def destroy(self) -> None:
        """Cancel what runs, which stays claimed by this incarnation, and end the threads."""
        if self._instance is None:
            return
        self.take_no_more()
        _ending.set()
        # dbos ends its event loop first: a thread that still claims work would have nowhere to run it.
        for thread in self._looking():
            thread.join(timeout=LONGEST_LOOK)
        self._instance = None
        DBOS.destroy(destroy_registry=True)

    def _looking(self) -> list[threading.Thread]:
        names = {f"queue-worker-{kind.value}" for kind in self._kinds}
        return [thread for thread in threading.enumerate() if thread.name in names]

    @staticmethod
    def current_workflow() -> str:
        """Return the id of the workflow that calls."""
        current = DBOS.workflow_id
        if current is None:
            raise RuntimeError("not inside a workflow")
        return current

    @staticmethod
    async def checkpoint(name: str, call: Callable[[], Awaitable[str | None]]) -> str | None:
        """Await ``call`` unless it ended before a crash; give its result, which is stored under the step's name."""

        async def step() -> str | None:
            return await call()

        return await DBOS.run_step_async({"name": name}, step)


def _look_cheaply(instance: DBOS) -> None:
    """Spare an idle process most of what dbos does to find nothing.

    Before it claims, dbos asks in which shards a queue has work, and answers "in all" itself. Answered truly, by one
    short statement, an idle look costs a tenth. Its delayed and timed-out workflows, which Osler has none of, cost
    two writing statements a second: that thread is told to end.
    """
    system = instance._sys_db
    table = system.tables.workflow_status
    query = (
        select(table.c.workflow_uuid)
        .where(
            table.c.queue_name == bindparam("queue"),
            table.c.status == literal_column("'ENQUEUED'"),
            # Lets SQLite use the partial index of what is not ended.
            table.c.status.in_([literal_column("'ENQUEUED'"), literal_column("'PENDING'")]),
        )
        .limit(1)
    )

    def shards_with_work(queue: str) -> list[str | None]:
        with system.engine.connect() as connection:
            found = connection.execute(query, {"queue": queue}).first()
        return [] if found is None else [None]

    # An attribute of this one object hides the method of its class.
    vars(system)["dequeue_scopes"] = shards_with_work
    instance._background_jobs_stop_event.set()
