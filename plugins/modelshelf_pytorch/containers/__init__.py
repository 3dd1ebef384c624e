"""The containers of tensors and pickles: each is read by its header, and its content is judged."""
