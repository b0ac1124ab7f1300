"""Job queues of sites."""
