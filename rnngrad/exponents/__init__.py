"""Lyapunov exponents, from floats or at any exponent."""
