"""Weights: names and cards (without torch), loading and saving, the authors' files, and the trained files."""
