"""Proves gradients right, or names the mistake."""
