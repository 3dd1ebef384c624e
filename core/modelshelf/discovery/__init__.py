"""From folders to records: `walk`, `group`, `examine` with `arbitrate`, `admit`, and `pipeline` over all."""
