"""The repositories of each room, over SQLAlchemy Core."""
