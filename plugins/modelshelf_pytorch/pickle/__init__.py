"""What a pickle would do, told without unpickling it: an abstract interpreter and its tables."""
