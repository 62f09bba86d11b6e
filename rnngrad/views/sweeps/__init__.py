"""A sweep as a report: tables and words."""
