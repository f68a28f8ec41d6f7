"""Experiments: each a file to read aloud, run by ``python -m experiments.<name>``."""
