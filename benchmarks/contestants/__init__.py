"""The same deployment configured in other ways; a module each, with `configure`."""
