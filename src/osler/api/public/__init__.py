"""The public API v1: the finished record for other systems, under keys that can do no more than they must."""
