"""What lies in a store: its tables, how a record is written, and what reads, changes and queries records."""
