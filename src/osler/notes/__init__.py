"""Notes: findings, templates, grounded notes and their evidence."""
