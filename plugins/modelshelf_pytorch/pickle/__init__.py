"""Judge what a pickle would do without unpickling it, by an abstract interpreter of its opcodes."""
