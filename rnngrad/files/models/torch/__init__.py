"""PyTorch: the arrays of a state_dict, by their keys."""
