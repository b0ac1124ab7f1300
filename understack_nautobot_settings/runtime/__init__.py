"""What settings name by class: loaded by redis-py, kombu and Celery."""
