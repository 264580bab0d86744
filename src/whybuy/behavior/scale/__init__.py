"""How loss falls with size and events, and what training costs as a log grows."""
