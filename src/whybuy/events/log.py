"""An ingested log (placeholder until the reader's version lands)."""
class EventLog: pass
