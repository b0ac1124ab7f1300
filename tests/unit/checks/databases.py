"""Settings with one database, and problems as text."""


def lines(problems):
    return [str(problem) for problem in problems]


def database(host="db.example.org", *, engine="postgresql", **options):
    return {
        "DATABASES": {
            "default": {
                "ENGINE": f"django.db.backends.{engine}",
                "HOST": host,
                "NAME": "app",
                "OPTIONS": options,
            }
        }
    }
