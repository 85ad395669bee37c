"""The tests, by what they run against: nothing (`unit`), an API server (`integration`, `attacks`), a node (`e2e`)."""
