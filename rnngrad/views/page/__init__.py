"""A page of HTML: one file that opens offline and loads nothing."""
