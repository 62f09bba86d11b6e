"""Mistakes found in the graph of a cell's own equations and in its sums, without a list of them."""
