"""Audio of Osler."""
