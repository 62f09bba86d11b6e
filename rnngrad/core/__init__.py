"""The mathematics: pure NumPy, no files, no printing, no spec."""
