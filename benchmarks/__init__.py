"""Measurements: speed, memory and accuracy, each script with its command in its docstring."""
