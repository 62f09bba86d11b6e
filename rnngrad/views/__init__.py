"""Results to text or bytes; nothing is computed here."""
