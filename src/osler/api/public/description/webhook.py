"""The webhook, described. Its ``x-charthero-...`` entries are facts of the contract, word for word."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from osler.access.public import PublicRoute
from osler.api.public.contract import ROUTES
from osler.api.public.description.schemas import EVENT, reference

TAG: Final = "Webhooks"
EVENT_TYPE: Final = "recording.transcript_ready"
EVENT_VERSION: Final = "2026-05-01"
PLANNED: Final = "planned_not_generally_available"
TOLERANCE: Final = 300
"""Seconds that a receiver's clock and the time of a message may be apart."""

_FILLED: Final = {"type": "string", "minLength": 1}

_HEADERS: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {
    "ChartHero-Event-Id": ("The event's id: the `id` in the body.", _FILLED),
    "ChartHero-Delivery-Id": ("The id of this event's delivery to this receiver, the same in each attempt.", _FILLED),
    "ChartHero-Timestamp": (
        f"When it was signed: seconds of the Unix epoch in decimal digits. Refuse what is over {TOLERANCE} s away.",
        {"type": "string", "pattern": "^[0-9]+$"},
    ),
    "ChartHero-Signature": (
        "`v1=` and the HMAC-SHA256, in hexadecimal digits, of the timestamp, a dot, and the body's bytes as sent.",
        _FILLED,
    ),
    "ChartHero-Webhook-Version": (
        "The version of the body: its `api_version`.",
        {"type": "string", "enum": [EVENT_VERSION]},
    ),
}

_EVENT: Final[Mapping[str, Any]] = {
    "id": "evt_recording_transcript_ready_01",
    "type": EVENT_TYPE,
    "api_version": EVENT_VERSION,
    "occurred_at": "2026-05-01T15:29:55Z",
    "organization_id": "org_synthetic_webhook_001",
    "resources": {
        "encounter_id": "enc_synthetic_webhook_001",
        "document_id": "doc_synthetic_transcript_001",
    },
}
"""The event of the contract's signature example."""

_FOLLOW_UP: Final[Mapping[str, Any]] = {
    "runtime_status": PLANNED,
    "candidate_routes": [
        {"route": f"GET {route.path}", "required_scopes": [scope.value for scope in route.scopes]}
        for name, route in ROUTES.items()
        if name is not PublicRoute.LIST_ENCOUNTERS
    ],
    "scope_policy": "Receiver API keys require only the union of scopes for approved follow-up routes.",
    "audio_scope_policy": "recordings:read is required only when the audio follow-up route is approved.",
    "launch_readiness_model": "subscription_activation_provenance",
}

_READINESS: Final[Mapping[str, Any]] = {
    "clinical_subscriptions_default": "disabled",
    "activation_provenance_required": [
        "subscription_activation_readiness",
        "approved_follow_up_route_subset",
        "route_family_readiness_allowlist",
        "least_privilege_receiver_api_key_scope_union",
        "receiver_api_key_id_or_key_family",
        "receiver_api_key_secret_handoff",
        "webhook_signing_secret_setup",
        "receiver_correlation_confirmed",
        "network_egress_allowlisting_when_applicable",
        "outbound_webhook_phi_audit_schema_and_sender_wiring",
        "supported_event_api_version_payload_mode",
    ],
    "supported_event_api_version_payload_mode": {
        "event_type": EVENT_TYPE,
        "api_version": EVENT_VERSION,
        "payload_mode": "thin",
    },
    "activation_atomicity": (
        "Activation records readiness and provenance atomically with the active subscription revision."
    ),
    "readiness_revocation": (
        "Disable affected clinical subscriptions and explicitly cancel already-created non-terminal unsucceeded "
        "delivery work, including pending, currently leased sending, and expired/stale sending deliveries."
    ),
    "setup_flags_scope": (
        "Management/setup availability flags control setup surfaces only, not publisher, fanout sweeper, dispatcher, "
        "renderer, signer, HTTP transport, or PHI audit emission."
    ),
}

_RETRY: Final[Mapping[str, Any]] = {
    "delivery": "at_least_once",
    "receiver_success": "any_2xx",
    "retryable": ["connection_error", "dns_error", "tls_error", "timeout", "408", "409", "425", "429", "5xx"],
    "terminal": ["1xx", "3xx", "400", "401", "403", "404", "other_non_transient_4xx"],
    "dedupe_key": "id",
    "dedupe_header": "ChartHero-Event-Id",
    "event_id_semantics": "ChartHero-Event-Id equals body id and is the receiver business idempotency key.",
    "delivery_id_semantics": (
        "ChartHero-Delivery-Id is stable for one event/endpoint delivery, reused across retries, and support/debug "
        "metadata only."
    ),
}

_SIGNATURE: Final[Mapping[str, Any]] = {
    "version": "v1",
    "algorithm": "HMAC-SHA256",
    "signature_input": "{timestamp}.{raw_request_body}",
    "header_format": "v1=<hex_hmac_sha256>",
    "timestamp_format": "unix_epoch_seconds",
    "timestamp_tolerance_seconds": TOLERANCE,
    "required_headers": list(_HEADERS),
}


def _signature_example() -> dict[str, Any]:
    body = json.dumps(_EVENT, separators=(",", ":"))
    timestamp = "1777649400"
    # The contract's own vector, which a signer has to meet.
    signature = "v1=a3bb0750eef64758be4a034aaff5dd5774c21bf7fe25083b51d61ba0214c0419"
    return {
        "example_secret": "whsec_test_secret_do_not_use",
        "timestamp": timestamp,
        "raw_request_body": body,
        "payload_sha256": hashlib.sha256(body.encode()).hexdigest(),
        "signature_input": f"{timestamp}.{body}",
        "signature_header": signature,
        "headers": {
            "ChartHero-Event-Id": _EVENT["id"],
            "ChartHero-Delivery-Id": "whd_recording_transcript_ready_01",
            "ChartHero-Timestamp": timestamp,
            "ChartHero-Signature": signature,
            "ChartHero-Webhook-Version": EVENT_VERSION,
        },
    }


def webhooks() -> dict[str, Any]:
    """Return the webhooks of the description."""
    operation: dict[str, Any] = {
        "operationId": "receiveRecordingTranscriptReadyWebhook",
        "tags": [TAG],
        "summary": "Hear that a transcript can be read",
        "description": (
            "Not sent yet. It will point at a transcript that has just become readable through this API, and hold "
            "ids only. The same event may come more than once: its id, in the body and in `ChartHero-Event-Id`, is "
            "what to tell repeats by. Subscriptions are off until everything that one needs has been checked: the "
            "routes that follow, a key with no more scopes than they ask for, a signing secret, and the record of "
            "what was sent."
        ),
        "security": [],
        "parameters": [
            {"name": name, "in": "header", "required": True, "description": description, "schema": schema}
            for name, (description, schema) in _HEADERS.items()
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": reference(EVENT),
                    "examples": {"recordingTranscriptReady": {"summary": "A pointer, no more", "value": dict(_EVENT)}},
                }
            },
        },
        "responses": {"2XX": {"description": "Received. Any status from 200 to 299 will do, and no body is needed."}},
        "x-charthero-runtime-status": PLANNED,
        "x-charthero-correlation-status": "not_confirmed_runtime_blocked",
        "x-charthero-receiver-response": {"success": "any_2xx", "body_required": False},
        "x-charthero-retry": _RETRY,
        "x-charthero-signature": _SIGNATURE,
        "x-charthero-signature-example": _signature_example(),
        "x-charthero-follow-up": _FOLLOW_UP,
        "x-charthero-launch-readiness": _READINESS,
    }
    return {EVENT_TYPE: {"post": operation}}
