"""Pictures drawn by Matplotlib (the extra ``plot``)."""
