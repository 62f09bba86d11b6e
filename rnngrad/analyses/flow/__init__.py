"""How the gradient flows through one net: growth, horizons, the shape of the chain."""
