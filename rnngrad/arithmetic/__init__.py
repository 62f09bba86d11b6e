"""Arrays, numbers with an exponent of their own, functions with their slopes."""
