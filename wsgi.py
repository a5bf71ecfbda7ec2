"""The portal as a WSGI application, configured by the environment."""

from portal import create_app

app = create_app()
