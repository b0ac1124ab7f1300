"""What can be wrong with the wanted job queues."""

from understack_nautobot_settings.problems import Code
from understack_nautobot_settings.problems import WarningCode

QUEUE_FILE_UNREADABLE = Code(
    "queue-file-unreadable",
    "The file with the wanted job queues cannot be read.",
    "Mount the file, or correct the path.",
)
QUEUE_FILE_INVALID = Code(
    "queue-file-invalid",
    "The file of job queues does not have the required form.",
    "Correct what the message names.",
)
QUEUE_JOB_MISSING = Code(
    "queue-job-missing",
    "A job that a site's queue should take does not exist, or its code is gone.",
    "Correct its name, or install the App that provides it.",
)
QUEUE_JOB_SKIPPED = WarningCode(
    "queue-job-skipped",
    "A job that a site's queue should take does not exist, and the file says "
    "`failOnMissing: false`.",
    "Correct its name, or install the App that provides it.",
)
QUEUE_MISSING = Code(
    "queue-missing",
    "Jobs are assigned to a queue that does not exist and is not in the list of "
    "queues.",
    "Add it to `queues` of the file, or correct its name.",
)
QUEUE_NOT_CELERY = Code(
    "queue-not-celery",
    "A queue of that name exists and is not a Celery queue.",
    "Remove that queue, or choose another name.",
)
QUEUE_IS_DEFAULT = Code(
    "queue-is-default",
    "A job would lose the queue that it is sent to by default.",
    "Give the job another default queue, or list the job for this queue in the file.",
)
QUEUE_REFUSED = Code(
    "queue-refused",
    "Nautobot refused to list or change jobs or their queues.",
    "Correct the permissions of the token's user, or the value that is refused.",
)

JOB_STUCK = WarningCode(
    "job-stuck",
    "A job is PENDING, and no queue and no worker has its message, so it will never "
    "run.",
    "List such jobs with `nautobot-server stuck_jobs`, and end or resubmit them: "
    "`nautobot-server stuck_jobs --help` tells how.",
)
