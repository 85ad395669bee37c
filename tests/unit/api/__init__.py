"""The models of the API and what is generated from them."""
