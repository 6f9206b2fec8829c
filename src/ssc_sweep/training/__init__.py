"""Wing 3: the one training loop, its optimisers, and what is measured. Knows nothing of folders or studies."""
