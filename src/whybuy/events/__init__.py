"""Reading, mapping and cleaning of event logs into user shards, and what is computed from a user's history."""
