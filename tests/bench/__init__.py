"""Figures of the operator, measured beside something on the same machine in the same run."""
