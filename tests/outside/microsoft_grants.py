"""What the stand-in for Microsoft has handed out: authorization codes, refresh tokens, device codes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from secrets import choice, token_urlsafe

from tests.outside.microsoft_directory import App, Authority, Mailbox, Scope
from tests.outside.microsoft_errors import SignInRefused
from tests.outside.microsoft_tokens import Clock

CODE_LIFE = timedelta(minutes=10)
DEVICE_CODE_LIFE = timedelta(minutes=15)
# Counted anew at each use, of which every one hands out a new token.
REFRESH_TOKEN_LIFE = timedelta(days=90)
SINGLE_PAGE_LIFE = timedelta(hours=24)


@dataclass(frozen=True)
class Grant:
    """Who let which app do what."""

    app: App
    mailbox: Mailbox
    scopes: tuple[Scope, ...]
    openid: frozenset[str]


@dataclass(kw_only=True)
class Code:
    grant: Grant
    redirect_uri: str
    challenge: str
    nonce: str
    expires_at: datetime
    is_redeemed: bool = False


@dataclass(kw_only=True)
class RefreshToken:
    value: str = field(repr=False)
    grant: Grant
    family: str  # the first of those that replaced one another
    issued_at: datetime
    expires_at: datetime
    is_replaced: bool = False
    death: tuple[int, str | None] | None = None  # the AADSTS number, and a suberror that is not the usual one

    def refused(self, number: int, now: datetime, suberror: str | None = None) -> SignInRefused:
        grant = self.grant
        return SignInRefused(
            number,
            suberror=suberror,
            issued=f"{self.issued_at:%Y-%m-%dT%H:%M:%S.0000000Z}",
            now=f"{now:%Y-%m-%dT%H:%M:%S.0000000Z}",
            app=grant.app.client_id,
            name=grant.app.display_name,
            account=grant.mailbox.user_principal_name,
            tenant=grant.mailbox.tenant.name,
        )


@dataclass(kw_only=True)
class DeviceRequest:
    device_code: str = field(repr=False)
    user_code: str
    app: App
    authority: Authority
    scopes: tuple[Scope, ...]
    openid: frozenset[str]
    expires_at: datetime
    interval: timedelta
    asked_at: datetime | None = None
    grant: Grant | None = None
    is_declined: bool = False
    is_redeemed: bool = False


class Grants:
    """Keeps them; with `strict_rotation` a refresh token that was replaced kills its whole family when it returns."""

    def __init__(self, clock: Clock, *, strict_rotation: bool, device_interval: timedelta) -> None:
        self.codes: dict[str, Code] = {}
        self.devices: list[DeviceRequest] = []
        self._refresh_tokens: dict[str, RefreshToken] = {}
        self._clock = clock
        self._strict_rotation = strict_rotation
        self._device_interval = device_interval

    def issue_code(self, grant: Grant, *, redirect_uri: str, challenge: str, nonce: str) -> str:
        value = f"1.{token_urlsafe(96)}"
        self.codes[value] = Code(
            grant=grant,
            redirect_uri=redirect_uri,
            challenge=challenge,
            nonce=nonce,
            expires_at=self._clock() + CODE_LIFE,
        )
        return value

    def code(self, value: str, app: App) -> Code:
        """One that is still good. Raises SignInRefused: 9002313, 70000, 54005 or 70008."""
        code = self.codes.get(value)
        if code is None:
            raise SignInRefused(9002313)
        if code.grant.app is not app:
            raise SignInRefused(70000)
        if code.is_redeemed:
            raise SignInRefused(54005)
        if code.expires_at <= self._clock():
            raise SignInRefused(70008)
        return code

    def issue_refresh_token(self, grant: Grant, replaced: RefreshToken | None = None) -> str:
        now, value = self._clock(), f"1.{token_urlsafe(192)}"
        fixed_end = replaced.expires_at if replaced else now + SINGLE_PAGE_LIFE
        self._refresh_tokens[value] = RefreshToken(
            value=value,
            grant=grant,
            family=replaced.family if replaced else value,
            issued_at=now,
            expires_at=fixed_end if grant.app.platform == "spa" else now + REFRESH_TOKEN_LIFE,
        )
        if replaced:
            replaced.is_replaced = True
        return value

    def refresh_token(self, value: str, app: App) -> RefreshToken:
        """One that is still good. Raises SignInRefused with what it died of."""
        token, now = self._refresh_tokens.get(value), self._clock()
        if token is None:
            raise SignInRefused(9002313)
        if token.grant.app is not app:
            raise SignInRefused(70000, suberror="client_mismatch")
        if token.death:
            raise token.refused(token.death[0], now, token.death[1])
        if token.expires_at <= now:
            raise token.refused(700084 if app.platform == "spa" else 700082, now)
        if token.is_replaced and self._strict_rotation:
            self._end(lambda other: other.family == token.family, 70000, None)
            raise token.refused(70000, now)
        return token

    def revoke(self, mailbox: Mailbox, number: int, suberror: str | None) -> None:
        """Every refresh token of the account that there is now answers with this from now on."""
        self._end(lambda token: token.grant.mailbox is mailbox, number, suberror)

    def start_device(
        self, app: App, authority: Authority, scopes: tuple[Scope, ...], openid: frozenset[str]
    ) -> DeviceRequest:
        device = DeviceRequest(
            device_code=token_urlsafe(96),
            user_code="".join(choice("BCDFGHJKLMNPQRSTVWXYZ23456789") for _ in range(9)),
            app=app,
            authority=authority,
            scopes=scopes,
            openid=openid,
            expires_at=self._clock() + DEVICE_CODE_LIFE,
            interval=self._device_interval,
        )
        self.devices.append(device)
        return device

    def device_by_user_code(self, user_code: str) -> DeviceRequest | None:
        """One that still waits for a person."""
        for device in self.devices:
            if device.user_code == user_code.strip().upper() and device.expires_at > self._clock():
                return None if device.grant or device.is_declined else device
        return None

    def poll_device(self, device_code: str, app: App) -> Grant:
        """What a person allowed. Raises SignInRefused while nobody has, and when nobody will (RFC 8628 3.5)."""
        device = next((one for one in self.devices if one.device_code == device_code and one.app is app), None)
        if device is None:
            raise SignInRefused(70018)
        now, asked_at = self._clock(), device.asked_at
        device.asked_at = now
        if device.is_redeemed:
            raise SignInRefused(54005)
        if device.is_declined:
            raise SignInRefused(65004, error="authorization_declined")
        if device.grant is not None:
            device.is_redeemed = True
            return device.grant
        if device.expires_at <= now:
            raise SignInRefused(70019)
        if asked_at is not None and now - asked_at < device.interval:
            device.interval += timedelta(seconds=5)
            raise SignInRefused(70016, error="slow_down")
        raise SignInRefused(70016)

    def _end(self, is_meant: Callable[[RefreshToken], bool], number: int, suberror: str | None) -> None:
        for token in self._refresh_tokens.values():
            if is_meant(token):
                token.death = (number, suberror)
