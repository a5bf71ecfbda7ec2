"""Mail Portal: create_app() is the composition root, the only module that knows every room.

Where a room needs something of a room above it, a function is handed down here, in `app.extensions`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask import Flask

    from portal.config import Config
    from portal.connections import Installation
    from portal.secret_box import SecretBox
    from portal.web.announcements import Banner, MailStatus

LARGEST_FORM = 2 * 1024 * 1024  # octets; larger requests are answered 413 before they are read


def create_app(config: Config | None = None) -> Flask:
    """The portal as a WSGI application. Raises ConfigError for an environment that cannot be used."""
    from flask import Flask
    from sqlalchemy.orm import configure_mappers

    from portal import web
    from portal.config import load_config
    from portal.extensions import csrf
    from portal.paths import STATIC, TEMPLATES
    from portal.web.request_log import configure_logging

    config = config or load_config()
    configure_logging(config.log_level, config.log_format)
    app = Flask("portal", template_folder=str(TEMPLATES), static_folder=str(STATIC))
    box = _configure(app, config)
    _prepare_database(app, config)
    web.init_app(app)
    _hand_down(app, config, box)
    _open_rooms(app)
    configure_mappers()  # else the first query of any thread does, while those of all others wait
    csrf.init_app(app)  # last: the page that refuses a bad token shows who is signed in
    return app


def _configure(app: Flask, config: Config) -> SecretBox:
    from portal import database
    from portal.secret_box import KeyFile, SecretBox

    file = KeyFile(config.instance)
    box = SecretBox(config.secret_keys) if config.secret_keys else SecretBox(file.keys(), newer_keys=file.newer)
    app.extensions["secret_box"] = box
    app.config.update(
        PORTAL=config,
        SECRET_KEY=box.signing_keys[0],
        SECRET_KEY_FALLBACKS=list(box.signing_keys[1:]),
        SESSION_COOKIE_NAME="__Host-portal" if config.is_https else "portal",
        SESSION_COOKIE_SECURE=config.is_https,
        SESSION_COOKIE_HTTPONLY=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SQLALCHEMY_DATABASE_URI=config.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=database.engine_options(config.database_url),
        MAX_CONTENT_LENGTH=LARGEST_FORM,
        MAX_FORM_MEMORY_SIZE=LARGEST_FORM // 2,
        MAX_FORM_PARTS=500,
        WTF_CSRF_TIME_LIMIT=None,  # as long as the browser's session
        WTF_CSRF_SSL_STRICT=False,  # it asks for a Referer, which our own Referrer-Policy withholds
    )
    return box


def _prepare_database(app: Flask, config: Config) -> None:
    from flask_migrate import Migrate

    from portal import database
    from portal.extensions import db
    from portal.paths import MIGRATIONS

    if config.database_url.startswith("sqlite"):
        config.instance.mkdir(parents=True, exist_ok=True)
    db.init_app(app)
    Migrate(app, db, directory=str(MIGRATIONS), render_as_batch=True)
    with app.app_context():
        database.configure(db.engine)


def _hand_down(app: Flask, config: Config, box: SecretBox) -> None:
    """What rooms below need of rooms above."""
    from portal import connections, mail_service, readiness, settings_sections
    from portal.accounts import people, people_identifier
    from portal.accounts.account_mail import AccountMail
    from portal.accounts.oidc import OpenID
    from portal.api.submitting import Intake
    from portal.extensions import db
    from portal.message_templates import kinds
    from portal.network.https import HTTPS, HTTPSSettings
    from portal.outbox.accept import Acceptor
    from portal.servers import connection_uses
    from portal.servers import kinds as kinds_of_mail

    installation = connections.Installation.of(config, box)
    with app.app_context():
        engine = db.engine
    prepare = partial(mail_service.prepare, message_id_domain=config.public_host, mail_state=connections.mail_state)
    outgoing = HTTPSSettings(ca_bundle=config.ca_bundle, proxy=config.https_proxy, no_proxy=config.no_proxy)
    app.extensions.update(
        installation=installation,
        openid=OpenID(HTTPS(outgoing, policy=installation.policy)),  # its addresses are typed on a page
        check_runner=connections.CheckRunner(engine, installation),
        mail_state=connections.mail_state,
        is_administrator=people.is_administrator,
        account_mail=AccountMail(prepare, box, config.public_url),
        connection_uses=connection_uses.uses_of,
        kinds_of_mail=[(one.name, one.title) for one in kinds.KINDS.values()],
        kind_in_words=kinds_of_mail.kind_in_words,
        written_to=people_identifier.written_to,
        people_examples=people_identifier.examples,
        default_connection=lambda: connections.default_connection(db.session(), installation=installation),
        banners=partial(_banners, installation),
        mail_status=partial(_mail_status, installation),
        readiness_checks=readiness.checks(engine, box),
        settings_sections=settings_sections.sections(box, config.public_url),
        intake=Intake(
            engine=engine,
            acceptor=Acceptor(engine, box=box),
            message_id_domain=config.public_host,
            is_own_person=people.is_taken,
        ),
    )


def _banners(installation: Installation) -> Sequence[Banner]:
    """For administrators, who alone can mend what they tell of."""
    from portal import connections
    from portal import installation as this_installation
    from portal.extensions import config, db
    from portal.servers import repeating
    from portal.web.access import current_user

    user = current_user()
    if user is None or not user.is_admin:
        return ()
    of_connections = connections.banners(db.session(), installation=installation)
    of_servers = repeating.banners(db.session(), now=datetime.now(UTC))
    return (*this_installation.banners(db.session(), config), *of_connections, *of_servers)


def _mail_status(installation: Installation) -> MailStatus | None:
    """For administrators and the helpdesk, who may not open the settings."""
    from portal import connections
    from portal import installation as this_installation
    from portal.extensions import config, db
    from portal.web.access import Role, current_user

    user = current_user()
    if user is None or user.role == Role.USER:
        return None
    status = this_installation.mail_status(db.session(), config)
    status = status or connections.mail_status(db.session(), installation=installation)
    return status if user.is_admin else replace(status, path="/test-messages/new")


def _open_rooms(app: Flask) -> None:
    from portal.accounts.views import blueprint as accounts
    from portal.api.docs_views import blueprint as api_docs
    from portal.api.views import blueprint as api
    from portal.audit.views import blueprint as audit
    from portal.connections.views import blueprint as connections
    from portal.email_settings.views import blueprint as email_settings
    from portal.extensions import csrf
    from portal.installation.views import blueprint as installation
    from portal.overview.views import blueprint as overview
    from portal.servers.views import blueprint as servers
    from portal.settings_imports.views import blueprint as settings_imports
    from portal.test_messages.views import blueprint as test_messages
    from portal.web.views import blueprint as web_pages

    before = (web_pages, overview, accounts, email_settings, connections, servers)
    for blueprint in (*before, test_messages, audit, installation, settings_imports, api, api_docs):
        app.register_blueprint(blueprint)
    csrf.exempt(api)  # nothing there is done in the name of a browser's session
