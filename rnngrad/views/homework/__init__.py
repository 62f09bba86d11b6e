"""A derivation to hand in: its formulas with the numbers put in, or the questions alone."""
