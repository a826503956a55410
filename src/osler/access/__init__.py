"""Organizations, users, keys: who may do what."""
