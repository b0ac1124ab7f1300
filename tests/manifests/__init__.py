"""The Kubernetes examples against the schemas of what reads them."""
