"""The public API as a layer of the app: it answers everything at and below ``/external``, and hands on the rest."""

from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

from osler.access.model import ApiKey
from osler.access.public import PublicRoute
from osler.api.public import presenters
from osler.api.public.contract import RefusalError
from osler.api.public.gate import Gate
from osler.api.public.query import read_list_query, refuse_any
from osler.api.public.revalidation import is_current, tag_of
from osler.api.public.routing import Target, is_public, target_of
from osler.api.public.services import PublicServices
from osler.audit.model import Actor, ActorKind
from osler.kernel.errors import BlobsUnavailableError, DatabaseUnavailableError, StorageFullError
from osler.release.reading import LookupRefusedError

Headers = list[tuple[bytes, bytes]]

RETRY_AFTER: Final = b"5"
"""Seconds after which it makes sense to ask again what was unavailable."""

_PASSING: Final = (DatabaseUnavailableError, BlobsUnavailableError, StorageFullError)
"""What an operator mends; a document that is damaged is so in five seconds too."""

_KEPT_BY_NOBODY: Final = (b"cache-control", b"private, no-store")
_ASKED_FOR_AGAIN: Final = (b"cache-control", b"private, no-cache")
"""For what has a tag: only the client itself may keep it, and asks each time whether it still holds."""

_JSON: Final = (b"content-type", b"application/json")
_BY_KEY: Final = (b"vary", b"Authorization")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, header fields and body. An empty body is none at all."""

    status: int
    headers: Headers
    body: bytes = b""


class PublicDoor:
    """The layer. Never raises: whatever goes wrong is answered in the four-key shape, without its cause."""

    def __init__(self, app: ASGIApp, *, services: PublicServices) -> None:
        self._app = app
        self._gate = Gate(services)
        self._reading = services.public.reading
        self._disclosures = services.public.disclosures

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or hand it on. A request's body is not read."""
        if scope["type"] != "http" or not is_public(scope):
            await self._app(scope, receive, send)
            return
        answer = await self._answer(scope)
        headers = [*answer.headers, _BY_KEY]
        if answer.body:
            headers += (_JSON, (b"content-length", str(len(answer.body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        body = b"" if scope["method"] == "HEAD" else answer.body
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope) -> Answer:
        limits: Headers = []
        try:
            target = target_of(scope)
            if target is None:
                raise RefusalError("route_not_found")
            scope["route"] = target.route  # its template stands in the log
            if scope["method"] != "GET":
                raise RefusalError("method_not_allowed")
            key = await self._gate.authenticate(scope["headers"])
            standing = self._gate.count(key)
            if standing is not None:
                limits = standing.headers()
                if standing.exceeded:
                    raise RefusalError("rate_limited")
            await self._gate.admit(key, target.route.name)
            answer = await self._read(scope, key, target)
        except RefusalError as refused:
            answer = _refusal(scope, refused, refused.__cause__)
        except LookupRefusedError as refused:
            answer = _refusal(scope, RefusalError(refused.reason.value), refused)
        except Exception as error:  # noqa: BLE001  (nothing may leave here in another shape; the log says what it was)
            answer = _refusal(scope, RefusalError("internal_error"), error)
        answer.headers.extend(limits)
        return answer

    async def _read(self, scope: Scope, key: ApiKey, target: Target) -> Answer:
        """Steps 3 to 5; who saw it is on record before anything is shown."""
        query = bytes(scope["query_string"])
        route, organization_id = target.route.name, key.organization_id
        actor = Actor(ActorKind.KEY, key.id, scope["client"][0] if scope.get("client") else "unknown")
        request_id = str(scope["state"]["request_id"])
        if route is PublicRoute.LIST_ENCOUNTERS:
            wanted = read_list_query(query)
            page = await self._reading.page(
                organization_id,
                limit=wanted.limit,
                offset=wanted.offset,
                newest_first=wanted.newest_first,
                start_at=wanted.start_at,
                end_at=wanted.end_at,
            )
            body = presenters.encounter_page(page, limit=wanted.limit, offset=wanted.offset)
            ids = [encounter.id for encounter in page.items]
            await self._disclosures.listed(actor, organization_id, ids, route=route, request_id=request_id)
            return Answer(200, [_KEPT_BY_NOBODY], body)
        refuse_any(query)
        tag = None
        encounter_id, document_id = target.encounter_id, target.document_id
        if route is PublicRoute.ENCOUNTER:
            body = presenters.encounter_detail(await self._reading.encounter(organization_id, encounter_id))
        elif route is PublicRoute.DOCUMENT:
            document = await self._reading.document(organization_id, encounter_id, document_id)
            body = presenters.document_detail(document)
            tag = tag_of(body, document.source_id)
        elif route is PublicRoute.TRANSCRIPT:
            transcript = await self._reading.transcript(organization_id, encounter_id, document_id)
            body = presenters.transcript(transcript)
            tag = tag_of(body, transcript.source_id)
        else:
            body = presenters.audio(await self._reading.audio(organization_id, encounter_id, document_id))
        # Also where the client has it already: it learns that its copy is what stands, and every read is on record.
        await self._disclosures.read(
            actor, organization_id, encounter_id, document_id or None, route=route, request_id=request_id
        )
        if tag is None:
            return Answer(200, [_KEPT_BY_NOBODY], body)
        headers = [_ASKED_FOR_AGAIN, (b"etag", tag)]
        return Answer(304, headers) if is_current(tag, scope["headers"]) else Answer(200, headers, body)


def _refusal(scope: Scope, refused: RefusalError, cause: BaseException | None) -> Answer:
    status = refused.reason.status
    headers: Headers = [_KEPT_BY_NOBODY]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    elif status == 405:
        headers.append((b"allow", b"GET"))
    elif status == 503 or isinstance(cause, _PASSING):
        headers.append((b"retry-after", RETRY_AFTER))
    if status >= 500:
        scope.setdefault("state", {})["error"] = cause or refused
    return Answer(status, headers, presenters.refusal(refused.code, refused.field))
