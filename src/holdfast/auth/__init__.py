"""Access keys: what each may do, which queues it sees, and who calls. Without I/O; the keyring is in the memory of a front."""
