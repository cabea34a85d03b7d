"""The steps of a build: each a question to the cache, answered by a leaf in a worker process."""
