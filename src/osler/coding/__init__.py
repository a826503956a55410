"""Clinical codes, each with the words that earn it."""
