"""Decoupling a standard from its dialects in a tiny multilingual model: the method, in NumPy, and what runs it."""

__version__ = "0.3.0"
