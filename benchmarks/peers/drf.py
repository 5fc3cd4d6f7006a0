"""The peer on Django REST framework: a model, a serializer, a retrieve view; for gunicorn as `application`.

Connections to the database persist (CONN_MAX_AGE), reads are not wrapped in a transaction (Django's default), and there
is no middleware.
"""

import os
from urllib.parse import parse_qs, unquote, urlsplit

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application

from benchmarks.peers import tokens

_url = urlsplit(os.environ["BENCHMARK_DATABASE_URL"])
_socket = parse_qs(_url.query)
settings.configure(
    ALLOWED_HOSTS=["127.0.0.1"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "HOST": _socket["host"][0],
            "PORT": _socket["port"][0],
            "NAME": _url.path[1:],
            "USER": _url.username,
            "PASSWORD": unquote(_url.password or ""),
            "CONN_MAX_AGE": None,
            "OPTIONS": {"options": "-c search_path=users"},  # Django's models name no schema
        }
    },
    INSTALLED_APPS=["rest_framework"],
    MIDDLEWARE=[],
    REST_FRAMEWORK={
        "DEFAULT_AUTHENTICATION_CLASSES": ["benchmarks.peers.drf_tokens.BearerToken"] if tokens.checked() else [],
        "DEFAULT_PERMISSION_CLASSES": ["benchmarks.peers.drf_tokens.IsKnown"] if tokens.checked() else [],
        "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
        "UNAUTHENTICATED_USER": None,
    },
    ROOT_URLCONF=__name__,
    SECRET_KEY="signs nothing here",  # noqa: S106 nothing is signed
    TIME_ZONE="UTC",
    USE_TZ=True,
)
django.setup()

from django.contrib.postgres.fields import ArrayField  # noqa: E402 needs the settings
from django.db import models  # noqa: E402
from django.urls import path  # noqa: E402
from rest_framework.generics import RetrieveAPIView  # noqa: E402
from rest_framework.serializers import CharField, ModelSerializer  # noqa: E402


class User(models.Model):
    """A row of `users.users`."""

    user_id = models.UUIDField(primary_key=True)
    email = models.TextField()
    email_key = models.TextField()
    display_name = models.TextField()
    phone_number = models.TextField()
    time_zone = models.TextField()
    locale = models.TextField()
    roles = ArrayField(models.TextField())
    state = models.TextField()
    version = models.IntegerField()
    create_time = models.DateTimeField()
    update_time = models.DateTimeField()
    name_key = models.TextField()

    class Meta:
        """Where the rows are."""

        app_label = "peers"
        db_table = "users"
        managed = False

    def __str__(self) -> str:
        return self.display_name


class UserSerializer(ModelSerializer):
    """What Aura's GetUser returns."""

    etag = CharField(source="version")

    class Meta:
        """Which fields."""

        model = User
        fields = (
            "user_id",
            "email",
            "display_name",
            "phone_number",
            "roles",
            "time_zone",
            "locale",
            "state",
            "create_time",
            "update_time",
            "etag",
        )


class UserView(RetrieveAPIView):
    """Returns a user."""

    queryset = User.objects.all()
    serializer_class = UserSerializer
    lookup_field = "user_id"


urlpatterns = [path("api/users/<uuid:user_id>", UserView.as_view())]
application = get_wsgi_application()
