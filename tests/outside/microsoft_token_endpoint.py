"""The stand-in's token endpoint, and the device authorization endpoint beside it."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping

from tests.outside.microsoft_client import credentials, prove
from tests.outside.microsoft_directory import App, Authority, Directory, Scope
from tests.outside.microsoft_errors import SignInRefused
from tests.outside.microsoft_grants import DEVICE_CODE_LIFE, Grant, Grants, RefreshToken
from tests.outside.microsoft_scripts import Call
from tests.outside.microsoft_tokens import Clock, Mint
from tests.outside.stand_in_http import Answer, json_answer

DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
_BY_A_PERSON = {"authorization_code", "refresh_token"}


class TokenEndpoint:
    def __init__(self, directory: Directory, grants: Grants, mint: Mint, login_url: str, clock: Clock) -> None:
        self._directory = directory
        self._grants = grants
        self._mint = mint
        self._login_url = login_url
        self._clock = clock

    def tokens(self, call: Call) -> Answer:
        """RFC 6749 section 3.2. Raises SignInRefused."""
        form = credentials(call.request)
        authority = self._directory.authority(call.tenant)
        grant_type = _required(form, "grant_type")
        if grant_type == "client_credentials" and authority.tenant is None:
            raise SignInRefused(90019 if authority.name == "organizations" else 9001023)
        app = self._directory.app(_required(form, "client_id"), authority)
        if app.platform != "spa" or grant_type not in _BY_A_PERSON:
            prove(app, form, self._audiences(authority), self._clock())
        elif not call.request.headers["Origin"]:
            raise SignInRefused(9002327)
        if grant_type == "authorization_code":
            return json_answer(self._redeem(app, authority, form, call.script.id_token))
        if grant_type == "refresh_token":
            return json_answer(self._refresh(app, form, call.script.id_token))
        if grant_type == "client_credentials":
            return json_answer(self._app_only(app, authority, form))
        if grant_type == DEVICE_CODE:
            return json_answer(self._poll(app, form, call.script.id_token))
        raise SignInRefused(70003, grant_type=grant_type)

    def device_codes(self, call: Call) -> Answer:
        """RFC 8628 section 3.2. Raises SignInRefused."""
        form = call.request.form
        authority = self._directory.authority(call.tenant)
        app = self._directory.app(_required(form, "client_id"), authority)
        openid, scopes = self._directory.scopes(_required(form, "scope"), tenant=authority.name)
        device = self._grants.start_device(app, authority, tuple(self._directory.expand(app, scopes)), openid)
        address = f"{self._login_url}/devicelogin"
        return json_answer(
            {
                "user_code": device.user_code,
                "device_code": device.device_code,
                "verification_uri": address,
                "expires_in": int(DEVICE_CODE_LIFE.total_seconds()),
                "interval": int(device.interval.total_seconds()),
                "message": f"To sign in, use a web browser to open the page {address} and enter the code "
                f"{device.user_code} to authenticate.",
            }
        )

    def _audiences(self, authority: Authority) -> set[str]:
        names = {authority.name} | ({authority.tenant.id} if authority.tenant else set())
        return {f"{self._login_url}/{name}/{path}" for name in names for path in ("oauth2/v2.0/token", "v2.0")}

    def _redeem(
        self, app: App, authority: Authority, form: Mapping[str, str], id_token: Mapping[str, object]
    ) -> dict[str, object]:
        code = self._grants.code(_required(form, "code"), app)
        grant = code.grant
        if authority.tenant not in {None, grant.mailbox.tenant}:
            raise SignInRefused(700005)
        if form.get("redirect_uri", "") != code.redirect_uri:
            raise SignInRefused(500112, redirect_uri=form.get("redirect_uri", ""), registered=code.redirect_uri)
        _verify(code.challenge, form.get("code_verifier", ""))
        scopes = self._wanted(grant, form)
        code.is_redeemed = True
        return self._answer(grant, scopes, form, nonce=code.nonce, id_token=id_token)

    def _refresh(self, app: App, form: Mapping[str, str], id_token: Mapping[str, object]) -> dict[str, object]:
        token = self._grants.refresh_token(_required(form, "refresh_token"), app)
        if token.grant.mailbox.is_disabled:
            raise SignInRefused(50057)
        return self._answer(token.grant, self._wanted(token.grant, form), form, id_token=id_token, replaced=token)

    def _poll(self, app: App, form: Mapping[str, str], id_token: Mapping[str, object]) -> dict[str, object]:
        grant = self._grants.poll_device(_required(form, "device_code"), app)
        return self._answer(grant, self._wanted(grant, {}), form, id_token=id_token)

    def _app_only(self, app: App, authority: Authority, form: Mapping[str, str]) -> dict[str, object]:
        assert authority.tenant is not None
        written = _required(form, "scope")
        _, scopes = self._directory.scopes(written, tenant=authority.tenant.name)
        if len(scopes) != 1 or scopes[0].name != ".default":
            raise SignInRefused(1002012, scope=written)
        service = self._directory.service(scopes[0].resource)
        assert service is not None
        token = self._mint.app_token(app, authority.tenant, scopes[0].resource, app.roles(service))
        return self._bearer(token)

    def _wanted(self, grant: Grant, form: Mapping[str, str]) -> list[Scope]:
        """The permissions of one resource: those asked for now, or without any those of the grant's first resource.

        Raises SignInRefused: 700022 for several resources, 65001 for what nobody consented to.
        """
        _, asked = self._directory.scopes(form.get("scope", ""), tenant=grant.mailbox.tenant.name)
        scopes = self._directory.expand(grant.app, asked)
        if not asked and grant.scopes:
            scopes = [scope for scope in grant.scopes if scope.resource == grant.scopes[0].resource]
        if len({scope.resource for scope in scopes}) > 1:
            raise SignInRefused(700022, scope=form.get("scope", ""))
        if self._directory.without_consent(grant.app, grant.mailbox, scopes):
            raise SignInRefused(65001, app=grant.app.client_id, name=grant.app.display_name)
        return scopes

    def _answer(
        self,
        grant: Grant,
        scopes: list[Scope],
        form: Mapping[str, str],
        *,
        nonce: str = "",
        id_token: Mapping[str, object],
        replaced: RefreshToken | None = None,
    ) -> dict[str, object]:
        app, mailbox = grant.app, grant.mailbox
        resource = scopes[0].resource if scopes else "00000003-0000-0000-c000-000000000000"
        token = self._mint.user_token(app, mailbox, resource, [scope.name for scope in scopes])
        # `offline_access` is granted by the refresh token being there; it is never listed.
        words = sorted(grant.openid - {"offline_access"})
        answer = self._bearer(token) | {"scope": _listed([*words, *(scope.written for scope in scopes)])}
        if "offline_access" in grant.openid:
            answer["refresh_token"] = self._grants.issue_refresh_token(grant, replaced)
        if "openid" in grant.openid:
            answer["id_token"] = self._mint.id_token(app, mailbox, nonce, id_token)
        if form.get("client_info") == "1":
            answer["client_info"] = client_info(mailbox.object_id, mailbox.tenant.id)
        return answer

    def _bearer(self, token: str) -> dict[str, object]:
        seconds = int(self._mint.lifetime.total_seconds())
        return {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}


def client_info(object_id: str, tenant_id: str) -> str:
    """Whose tokens these are, as Microsoft's libraries ask for it with `client_info=1`."""
    return urlsafe_b64encode(json.dumps({"uid": object_id, "utid": tenant_id}).encode()).rstrip(b"=").decode()


def _listed(scopes: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(scopes))


def _required(form: Mapping[str, str], field: str) -> str:
    if not form.get(field):
        raise SignInRefused(900144, field=field)
    return form[field]


def _verify(challenge: str, verifier: str) -> None:
    """RFC 7636 section 4.6, by S256 alone."""
    if not challenge:
        return
    if not verifier:
        raise SignInRefused(50147)
    digest = urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    if digest != challenge:
        raise SignInRefused(501481)
