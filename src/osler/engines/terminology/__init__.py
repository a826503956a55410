"""Terminologies: compact indexes of codes, search in them, and the reading of release files."""
