"""The scribe API as clients of its two descriptions have it: a live server, and nothing but HTTP."""
