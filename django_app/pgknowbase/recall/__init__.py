"""How much of what an exact search finds the vector index finds, and how far it must be walked for more."""
