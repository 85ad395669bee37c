"""Sessions on a real node: the token is used by the pod that it was given to."""
