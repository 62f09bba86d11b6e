"""The formats: a report as text, one file each."""
