"""The live channel: a WebSocket on which a worker receives jobs as they become ready, and ends them in batches."""
