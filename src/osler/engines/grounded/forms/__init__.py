"""Forms about one visit, answered from its own words."""
