"""Slow, plain, independent ways to the numbers that rnngrad computes fast.

None of them imports rnngrad's forward pass, its backward pass or its derivatives: the mathematics
is written here afresh, from the equations of the exercise sheet.
"""
