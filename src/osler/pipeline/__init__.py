"""Pipeline of Osler."""
