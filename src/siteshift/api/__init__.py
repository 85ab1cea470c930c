"""The HTTP API: ``/v1`` as JSON, server-sent events, metrics and health; over a Unix socket and over TLS."""
