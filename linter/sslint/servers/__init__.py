"""Server configuration: text to endpoints. One package a server."""
