"""Trained networks for other programs: `python -m chanattn.export RUN`, see docs/export.md."""
