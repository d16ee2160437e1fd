"""What a pipeline is made of: the object, its spec with all defaults in place, its secrets, and what it may use."""
