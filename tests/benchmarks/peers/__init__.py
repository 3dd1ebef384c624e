"""Other tools that look for hostile pickles, each run in an environment of their own."""
