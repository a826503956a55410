"""The tables of each room, and their one metadata."""
