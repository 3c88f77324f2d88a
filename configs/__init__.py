"""Recipes: what a user edits. `base.py` is what they start from; each other file is one recipe."""
