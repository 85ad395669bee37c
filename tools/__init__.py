"""What writes files of this repository from the code; not a part of the package that is installed."""
