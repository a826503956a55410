"""The public API as clients of its contract have it: the contract's file alone says what is right."""
