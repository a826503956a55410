"""The append-only, hash-chained record of who read and wrote what."""
