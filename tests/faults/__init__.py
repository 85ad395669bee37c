"""What the operator does when everything around it fails: a proxy that breaks things by plan, and plans for each fault.

Every claim is checked by listing the cluster as its administrator; the operator is never asked about itself.
"""
