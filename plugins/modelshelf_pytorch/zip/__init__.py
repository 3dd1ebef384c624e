"""ZIP archives by their central directory: read within bounds, and checked for headers that contradict it.

Source: PKWARE APPNOTE 6.3.10, whose terms the modules use. Python's `zipfile` refuses archives that torch
loads, and accepts some that hide a member from it; what it raises would have to become a verdict.
"""
