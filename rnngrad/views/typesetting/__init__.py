"""Formulas as they are shown, read once and written as plain text, LaTeX, typst or MathML."""
