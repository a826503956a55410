"""The grounded note writer: findings, sentences and notes without a language model."""
