"""The lift of an item for a person, where the log says who was shown what, and with which probability."""
