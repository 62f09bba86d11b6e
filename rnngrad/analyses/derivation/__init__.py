"""Quantities by name, and the derivation: symbols, chain rules, numbers, paths."""
