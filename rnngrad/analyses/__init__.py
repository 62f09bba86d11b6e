"""From traces to frozen results: quantities, derivations, paths. No spec, no printing."""
