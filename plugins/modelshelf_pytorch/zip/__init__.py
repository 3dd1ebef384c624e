"""ZIP archives, read by their central directory and distrusted."""
