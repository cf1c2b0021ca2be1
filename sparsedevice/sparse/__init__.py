"""Tables that are sparse in memory, and the independent parts of a method that moves their shape."""
