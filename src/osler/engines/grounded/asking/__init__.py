"""Questions about one visit, answered in its own words."""
