"""`ModelRegistry`, and what it is made of: look-ups, edits, events, settings out and in."""
