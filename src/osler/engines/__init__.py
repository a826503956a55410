"""Engines of Osler."""
