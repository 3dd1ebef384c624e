"""The kinds of files that hold tensors or a pickle: each is read by its header, and any is judged."""
