"""Faults: real processes that are killed while they work."""
