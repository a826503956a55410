"""The description of the public API (OpenAPI 3.1): the contract's structure in Osler's own words."""
