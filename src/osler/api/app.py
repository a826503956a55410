"""The HTTP app: what is served, in which order, and what stands around it."""

from fastapi import FastAPI

from osler import __version__
from osler.api.errors import handle_errors
from osler.api.health import health_routes
from osler.api.media import media_routes
from osler.api.metrics import Metrics, metrics_routes
from osler.api.public.description.document import public_openapi_routes
from osler.api.public.door import PublicDoor
from osler.api.requests import Requests
from osler.api.scribe.app import BASE_PATH, scribe_app
from osler.api.scribe.openapi import openapi_routes
from osler.api.services import Services


def create_app(services: Services) -> FastAPI:
    """Return the app on an opened core. It opens and closes nothing itself."""
    # No pages of documentation here: those of a framework load scripts from elsewhere.
    app = FastAPI(title="Osler", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    app.router.redirect_slashes = False  # a redirect would repeat the query, signature included
    metrics = Metrics()
    handle_errors(app)
    scribe = scribe_app(services)
    app.mount(BASE_PATH, scribe)  # first, as most requests are for it
    app.include_router(health_routes(services))
    app.include_router(metrics_routes(services, metrics))
    app.include_router(media_routes(services))
    app.include_router(openapi_routes(scribe, BASE_PATH))
    app.include_router(public_openapi_routes())
    # A layer and no mount: what is below /external is its own, with nothing of a framework between.
    app.add_middleware(PublicDoor, services=services)
    app.add_middleware(
        Requests,
        metrics=metrics,
        max_upload_bytes=services.max_upload_bytes,
        pause_seconds=services.pause_seconds,
    )
    return app
