"""The live channel: a WebSocket on which a worker is sent jobs as they come, and ends them in batches."""
