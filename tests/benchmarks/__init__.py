"""Comparisons with the tools that users would pick instead: ``python -m tests.benchmarks``.

Each module offers ``comparisons(workshop)``, a generator of `Comparison` and `Skipped`; what it compares runs
side by side in one run, so that a slow or busy machine slows both.
"""
