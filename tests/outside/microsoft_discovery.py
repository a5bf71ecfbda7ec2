"""What the stand-in for Microsoft prints of itself: discovery, keys, and the page after signing out."""

from __future__ import annotations

from tests.outside.microsoft_directory import Directory
from tests.outside.microsoft_pages import page
from tests.outside.microsoft_scripts import Call
from tests.outside.microsoft_tokens import published_keys
from tests.outside.stand_in_http import Answer, json_answer


class Discovery:
    def __init__(self, directory: Directory, login_url: str, graph_url: str) -> None:
        self._directory = directory
        self._login_url = login_url
        self._graph_url = graph_url

    def document(self, call: Call) -> Answer:
        """OpenID Connect Discovery; a domain's names its tenant's id. Raises SignInRefused for an unknown tenant."""
        authority = self._directory.authority(call.tenant)
        name = authority.tenant.id if authority.tenant else authority.name
        base = f"{self._login_url}/{name}"
        return json_answer(
            {
                "issuer": f"{self._login_url}/{authority.tenant.id if authority.tenant else '{tenantid}'}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
                "end_session_endpoint": f"{base}/oauth2/v2.0/logout",
                "jwks_uri": f"{base}/discovery/v2.0/keys",
                "response_modes_supported": ["query"],
                "response_types_supported": ["code"],
                "scopes_supported": ["openid", "profile", "email", "offline_access"],
                "token_endpoint_auth_methods_supported": [
                    "client_secret_post",
                    "private_key_jwt",
                    "client_secret_basic",
                ],
                "id_token_signing_alg_values_supported": ["RS256"],
                "msgraph_host": self._graph_url.partition("://")[2],
            }
        )

    def keys(self, _: Call) -> Answer:
        return json_answer(published_keys())

    def signed_out(self, _: Call) -> Answer:
        return page("Sign out", "You signed out of your account", "<p>It’s a good idea to close all windows.</p>")
