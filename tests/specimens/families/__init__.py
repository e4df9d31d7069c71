"""One module for each family of specimens: ``specimens()`` gives those of it, made from parameters."""
