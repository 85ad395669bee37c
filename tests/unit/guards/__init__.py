"""Guards compared with what ships."""
