"""`ModelRegistry`, and what it is made of: cache, look-ups, scans, edits, events, settings out and in."""
