"""Many scales of one net: the points, what is measured at each, and what theory says."""
