"""Native HTTP: the contract of docs/protocol.md under /v1."""
