"""What writes the seeds: one module for each format, with ``files(folder)`` giving names and bytes."""
