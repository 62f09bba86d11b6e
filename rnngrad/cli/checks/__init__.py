"""What is behind check: arrays, answers, and functions in a process of their own."""
