"""What runs inside Nautobot: checks, health, metrics, management commands.

A Django app, added to ``INSTALLED_APPS`` by
`understack_nautobot_settings.fragments.django_app`. It has no models, views or
migrations.
"""
