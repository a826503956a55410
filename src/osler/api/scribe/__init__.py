"""The scribe API: the door of EHR and telehealth vendors."""
