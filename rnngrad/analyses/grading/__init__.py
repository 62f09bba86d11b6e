"""Grades formulas: text -> tree -> values at general points -> points and hints."""
