"""The pictures of derive: one net, or several beside each other."""
