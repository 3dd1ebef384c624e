"""From folders to records: places, walk, group, changed, examine, commit."""
