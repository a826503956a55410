"""Encounters, patient profiles, consent, context documents, erasure."""
