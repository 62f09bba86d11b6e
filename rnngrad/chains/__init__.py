"""Products of one-step Jacobians in log space: norms, paths, the end of the chain, lags."""
