"""What a visit covered, read from its own words."""
