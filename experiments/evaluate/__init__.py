"""Scores of generated images against real ones, each beside its floor."""
