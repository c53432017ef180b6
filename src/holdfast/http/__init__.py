"""The HTTP protocol, without any API: request heads, bodies that are refused, disconnects, origins."""
