"""Osler: a self-hosted ambient clinical scribe."""

__version__ = "0.1.0"
