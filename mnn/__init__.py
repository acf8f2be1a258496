"""Arrays, vision, training and .mnn models on one expression graph."""
