"""The runner of the foreign clients: installs them, starts a broker, drives, compares."""
