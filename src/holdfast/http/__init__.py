"""How HTTP is spoken, with no API in it: heads, bodies that must not be taken as they are, callers that leave, origins."""
