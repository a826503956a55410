"""Engines that run jobs: dbos, and inline for tests."""
