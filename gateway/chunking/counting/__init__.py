"""Vocabularies, and which model counts with which."""
