"""Looking after a store: what is wrong with it, and saving what can be saved."""
