"""From folders to records: `walk`, `group`, `examine` (detect, `arbitrate`, extract, probe), `admit`, `pipeline`."""
