"""DQID's vocabulary: a queue of messages with `POST /push`, `GET /get` and `GET /stats`."""
