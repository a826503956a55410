"""Kernel: errors, text spans, engine records and progress; no I/O, imports nothing of ours."""
