"""Right values without BPTT: complex step, differences, tangents, explicit Jacobians."""
