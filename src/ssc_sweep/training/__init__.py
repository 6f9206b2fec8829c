"""The one training loop, its optimisers and the measurements (wing 3). Independent of folders and studies."""
