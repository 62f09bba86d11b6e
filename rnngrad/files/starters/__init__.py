"""Files to begin with, which ``rnngrad init`` and ``rnngrad cells`` write."""
