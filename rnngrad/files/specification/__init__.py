"""The spec: YAML or a mapping, key by key, to a Problem with all arrays read and drawn."""
