"""The tests of glmclient."""
