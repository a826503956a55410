"""The only place where adapters meet rooms: builds services from settings. Only entry points import it."""

from osler.bootstrap.core import Core, open_core
from osler.bootstrap.engines import note_service, speech_service, terminologies, weights_store
from osler.bootstrap.initialise import Initialised, initialise, is_new
from osler.bootstrap.places import digest_key_source, master_key_source, read_settings

__all__ = [
    "Core",
    "Initialised",
    "digest_key_source",
    "initialise",
    "is_new",
    "master_key_source",
    "note_service",
    "open_core",
    "read_settings",
    "speech_service",
    "terminologies",
    "weights_store",
]
