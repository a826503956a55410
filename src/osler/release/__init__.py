"""The read-only projection that outsiders see, and the sign-off that may open it."""
