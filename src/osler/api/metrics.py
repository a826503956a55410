"""Numbers for operators in Prometheus' text format. Labels are templates, kinds and states: no id, no name."""

from typing import Final

import structlog
from fastapi import APIRouter
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import Response

from osler import __version__, logs
from osler.api.services import Services
from osler.kernel.errors import OslerError
from osler.kernel.jobs import JobKind, JobState

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds; the upper ones are for uploads."""

_log: Final = structlog.get_logger()


class Metrics:
    """What this process counted, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        self._requests = Counter(
            "osler_http_requests", "Requests answered.", ("route", "method", "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "osler_http_request_seconds",
            "Seconds from a request's head to the end of its answer.",
            ("route", "method"),
            buckets=BUCKETS,
            registry=self.registry,
        )
        self._jobs = Gauge("osler_jobs", "Jobs in the database.", ("kind", "state"), registry=self.registry)
        self._audio = Gauge(
            "osler_audio_transcribed_seconds", "Seconds of audio with a final transcript.", registry=self.registry
        )
        dropped = Gauge(
            "osler_log_values_dropped",
            "Values that were left out of the log, as they may tell of somebody.",
            registry=self.registry,
        )
        dropped.set_function(logs.dropped_fields)
        Gauge("osler_info", "The version that runs.", ("version",), registry=self.registry).labels(__version__).set(1)

    def count(self, *, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request by the template of its route."""
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)

    async def text(self, services: Services) -> bytes:
        """Return everything. While the database is away, what comes from it keeps its last value."""
        try:
            counts = await services.jobs.counts()
            self._audio.set(await services.playback.transcribed_seconds())
        except OslerError as error:
            _log.warning("metrics of the database are old", error=error)
        else:
            for kind in JobKind:
                for state in JobState:
                    self._jobs.labels(kind.value, state.value).set(counts.get((kind, state), 0))
        return generate_latest(self.registry)


def metrics_routes(services: Services, metrics: Metrics) -> APIRouter:
    """Return the route of metrics."""
    router = APIRouter()

    @router.get("/metrics")
    async def show() -> Response:
        """Everything, for a scraper."""
        return Response(await metrics.text(services), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router
