"""Mutated and generated files in great numbers, each named by its number so that it can be made again.

::

    python -m tests.fuzz gguf --count 1000000 --jobs 2         mutated files through detect, extract and probe
    python -m tests.fuzz pytorch --count 100000 --reference    and what is healthy through the real loader
    python -m tests.fuzz pickle-streams --count 1000000        ours beside the C unpickler; so zip-members
    python -m tests.fuzz gguf --replay 4711                    one case again, its bytes into a file
    python -m tests.fuzz.atheris gguf -- -max_total_time=60    guided by coverage, where atheris is installed

Where the parts lie: `seeds` (files that the real libraries write), `formats` (what is done to them), `judge`
(the reading, as in a scan), `reference` (the real loaders), `differential` (two readings of one file),
`campaign` (counting, in several processes), `targets` (entry points for atheris). `pickles` and `checkpoints`
generate whole files without a seed.
"""
