"""Every kind of file that holds tensors or a pickle, each read by its header alone."""
