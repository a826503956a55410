"""Weights of Osler."""
