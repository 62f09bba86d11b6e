"""rnngrad's own gradients against the references, quantity by quantity."""
