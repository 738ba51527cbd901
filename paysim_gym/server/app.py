"""The application with settings from the environment, for `uvicorn paysim_gym.server.app:app`."""

from paysim_gym.server.application import create_app
from paysim_gym.server.settings import Settings

app = create_app(Settings.from_environment())
