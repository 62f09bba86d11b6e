"""A derivation as a report: its sections, and its data for programs."""
