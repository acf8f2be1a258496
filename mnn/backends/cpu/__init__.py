"""Running lists of calls on this machine's processor: memory, argument blocks, threads."""
