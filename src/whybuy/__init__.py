"""Which behaviors cause which purchases, by how much, and for whom: from the event log of a shop."""

__version__ = "0.1.0"

__all__ = ["__version__"]
