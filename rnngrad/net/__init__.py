"""A net, its passes forward and backward, and its linearised step: no files, no printing."""
