"""This machine: whose a folder is, what a process may do, where the cache and the compilers are."""
