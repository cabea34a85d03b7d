"""What runs steps: the cache with its keys, worker processes, locks on results, the one door to the leaves."""
