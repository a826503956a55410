"""Cli of Osler."""
