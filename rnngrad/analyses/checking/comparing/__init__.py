"""When two arrays agree: tolerances, conditioning, and where a wrong entry lies."""
