"""The names of the messaging conventions of OpenTelemetry 1.45, which are still in development, and our own; for spans and metrics of clients, workers and servers."""

SYSTEM = "messaging.system"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"  # send, receive, process
DESTINATION = "messaging.destination.name"  # the queue
MESSAGE_ID = "messaging.message.id"  # the job's number
ERROR_TYPE = "error.type"

JOB_TYPE = "holdfast.job.type"
JOB_ATTEMPT = "holdfast.job.attempt"
WORKER = "holdfast.worker"
WAITED_MS = "holdfast.waited_ms"

HOLDFAST = "holdfast"  # the value of SYSTEM

# Metrics; durations in seconds, with the boundaries that the conventions advise.
SENT = "messaging.client.sent.messages"
CONSUMED = "messaging.client.consumed.messages"
OPERATION_DURATION = "messaging.client.operation.duration"
PROCESS_DURATION = "messaging.process.duration"
BOUNDARIES = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
