"""Parse, call, show."""
