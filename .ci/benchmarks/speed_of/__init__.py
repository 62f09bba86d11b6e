"""What ``.ci/benchmarks/speed.py`` runs: cases, peers, rows, timing, the page."""
