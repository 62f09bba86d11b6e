"""Pictures: from a result to what is drawn, and from that to a file."""
