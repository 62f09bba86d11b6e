"""Pictures as SVG within a page."""
