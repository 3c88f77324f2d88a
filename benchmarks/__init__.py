"""How fast the project is: programs that measure, `python -m benchmarks.throughput` first of all.

They run from the root of the source tree; no part of the installed package imports them.
"""
