"""Plugins: what they may offer (`spec`), how they are found (`load`), called (`call`) and reported (`report`)."""
