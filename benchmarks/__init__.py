"""Every performance figure that the documentation quotes, and where it comes from."""
