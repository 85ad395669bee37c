"""Everything that talks to the API server: the client, applying actions, look-ups, watches, the Lease.

The engine calls into this package with values and gets values back. Nothing here decides about a session.
"""
