"""The process that owns an embedded store: committer and store behind a socket, and its caller's end of that socket.

A writer thread starves behind a busy event loop; a process does not, and it uses the second core. See docs/adr.
"""
