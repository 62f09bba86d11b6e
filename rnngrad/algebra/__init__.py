"""One algebra: read, write, size and differentiate the expressions of cells and of answers."""
