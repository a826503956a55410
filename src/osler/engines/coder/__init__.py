"""The grounded coder: names of conditions found in a note, and the codes that their words earn."""
