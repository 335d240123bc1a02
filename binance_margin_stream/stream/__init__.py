"""The stream half: typed events from a connection that is kept alive."""
