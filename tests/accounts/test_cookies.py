from __future__ import annotations

from http.cookies import SimpleCookie
from uuid import UUID

from werkzeug.test import EnvironBuilder
from werkzeug.wrappers import Request, Response

from portal.accounts.cookies import Device, Jar

ADA, BOB = UUID(int=1), UUID(int=2)
KEYS = ("a" * 64,)


def brought_back(response: Response) -> Request:
    cookies = SimpleCookie()
    for header in response.headers.getlist("Set-Cookie"):
        cookies.load(header)
    sent = "; ".join(f"{name}={morsel.value}" for name, morsel in cookies.items())
    return Request(EnvironBuilder(headers={"Cookie": sent}).get_environ())


def test_on_https_the_cookies_belong_to_this_host_alone() -> None:
    response = Response()

    Jar(True, KEYS).keep_session(response, "token")

    assert response.headers["Set-Cookie"] == ("__Host-portal-session=token; Secure; HttpOnly; Path=/; SameSite=Lax")


def test_without_https_the_cookie_still_is_out_of_reach_of_scripts_and_other_sites() -> None:
    response = Response()

    Jar(False, KEYS).keep_session(response, "token")

    assert response.headers["Set-Cookie"] == "portal-session=token; HttpOnly; Path=/; SameSite=Lax"


def test_a_device_knows_who_signed_in_on_it() -> None:
    jar, response = Jar(False, KEYS), Response()

    jar.keep_device(response, Device("desk", ()).with_person(ADA))

    device = jar.device(brought_back(response))
    assert device.id == "desk"
    assert device.knows(ADA)
    assert not device.knows(BOB)


def test_a_device_that_another_key_signed_knows_nobody() -> None:
    response = Response()
    Jar(False, ("b" * 64,)).keep_device(response, Device("desk", (ADA.hex,)))

    device = Jar(False, KEYS).device(brought_back(response))

    assert device.id != "desk"
    assert not device.knows(ADA)


def test_a_device_is_known_on_after_the_key_was_changed() -> None:
    response = Response()
    Jar(False, KEYS).keep_device(response, Device("desk", (ADA.hex,)))

    device = Jar(False, ("c" * 64, *KEYS)).device(brought_back(response))

    assert device.knows(ADA)


def test_a_device_remembers_the_five_who_used_it_last() -> None:
    device = Device("desk", ())

    for number in range(1, 8):
        device = device.with_person(UUID(int=number))

    assert [UUID(person).int for person in device.people] == [7, 6, 5, 4, 3]
