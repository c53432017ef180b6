"""The vocabulary of CQueue and of the in-memory job queue: enqueue, dequeue and conclude under `/jobs`."""
