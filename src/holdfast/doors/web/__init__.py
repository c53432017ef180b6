"""The management page: what an operator sees and does in a browser."""
