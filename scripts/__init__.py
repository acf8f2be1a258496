"""Scripts that make recorded and generated files; each says in its first lines how to run it."""
