"""This project's core beside its peers."""
