"""What somebody hands in to be checked: files of gradients, files of answers."""
