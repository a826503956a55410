"""Backups: one sealed, portable file of everything that a deployment cannot make again."""
