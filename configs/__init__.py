"""Recipes: what a user edits. `base.py` has every field; each other file is one recipe."""
