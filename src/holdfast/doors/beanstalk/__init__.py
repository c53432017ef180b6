"""The text protocol of beanstalkd 1.12 on a TCP port of its own: tubes are queues, reservations are leases."""
