"""Tests beside real libraries: each folder runs in an environment of its own, by `make test-real`."""
