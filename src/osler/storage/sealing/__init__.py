"""Sealing: the cryptography of everything at rest; pure functions of keys and bytes, no database, no blob store."""
