"""The stand-in's Microsoft Graph: mail as MIME and JSON, large messages, and reading who and what there is."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import date, timedelta
from email import message_from_bytes
from email.policy import SMTP
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.outside.certificates import ServerCertificate
from tests.outside.microsoft import MicrosoftServer
from tests.outside.microsoft_application import (
    ADMIN,
    CLIENT_ID,
    PORTAL,
    SECRET,
    SMTP_SEND,
    TENANT,
    Application,
    at_contoso,
    registered,
)

CONTENT = (
    b"From: Portal <portal@contoso.test>\r\nTo: ada@example.test\r\nCc: Bob <bob@example.test>\r\n"
    b"Bcc: eve@example.test\r\nSubject: Hello\r\n\r\nGood morning.\r\n"
)
TEXT = {"Content-Type": "text/plain"}
SEND_MAIL = f"/v1.0/users/{PORTAL}/sendMail"


@pytest.fixture
def microsoft(certificate: ServerCertificate) -> Iterator[MicrosoftServer]:
    with at_contoso(certificate) as microsoft:
        yield microsoft


@pytest.fixture
def application(microsoft: MicrosoftServer, ca_file: Path) -> Iterator[Application]:
    with closing(Application(microsoft, ca_file)) as application:
        yield application


def send(application: Application, path: str, token: str, content: bytes = CONTENT) -> requests.Response:
    return application.graph("POST", path, token, data=b64encode(content), headers=TEXT)


def code_of(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]["code"]


def test_an_app_sends_mime_as_it_is(microsoft: MicrosoftServer, application: Application) -> None:
    answer = send(application, SEND_MAIL, microsoft.app_token(CLIENT_ID))

    [message] = microsoft.wait_for_messages(1)
    assert answer.status_code == 202
    assert answer.content == b""
    assert answer.headers["request-id"] == answer.headers["client-request-id"]
    assert message.content == CONTENT
    assert message.mailbox == PORTAL
    assert message.how == "mime"
    assert message.recipients == ("ada@example.test", "bob@example.test", "eve@example.test")
    assert message.from_address == PORTAL
    assert message.client_id == CLIENT_ID
    assert message.signed_in_as is None


def test_a_person_sends_from_the_own_mailbox(microsoft: MicrosoftServer, application: Application) -> None:
    token = application.connect()["access_token"]

    answer = application.graph(
        "POST", "/v1.0/me/sendMail", token, data=b64encode(CONTENT), headers=TEXT | {"client-request-id": "abc"}
    )

    [message] = microsoft.messages
    assert answer.status_code == 202
    assert answer.headers["client-request-id"] == "abc"
    assert message.mailbox == PORTAL
    assert message.signed_in_as == PORTAL


def test_a_token_for_the_stand_ins_own_address_is_good(microsoft: MicrosoftServer, application: Application) -> None:
    tokens = application.client().acquire_token_for_client([f"{microsoft.graph_url}/.default"])

    assert send(application, SEND_MAIL, tokens["access_token"]).status_code == 202


def message_resource(**members: Any) -> dict[str, Any]:
    return {
        "subject": "Grüße",
        "body": {"contentType": "HTML", "content": "<p>Good morning.</p>"},
        "toRecipients": [{"emailAddress": {"address": "ada@example.test", "name": "Ada"}}],
        "bccRecipients": [{"emailAddress": {"address": "eve@example.test"}}],
    } | members


def test_a_message_in_json_is_built(microsoft: MicrosoftServer, application: Application) -> None:
    attachment = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": "notes.txt",
        "contentType": "text/plain",
        "contentBytes": b64encode(b"Notes").decode(),
    }
    resource = message_resource(attachments=[attachment], internetMessageHeaders=[{"name": "X-Portal", "value": "42"}])

    answer = application.graph(
        "POST", SEND_MAIL, microsoft.app_token(CLIENT_ID), json={"message": resource, "saveToSentItems": False}
    )

    [message] = microsoft.messages
    built = message_from_bytes(message.content, policy=SMTP)
    assert answer.status_code == 202
    assert message.how == "json"
    assert message.is_saved is False
    assert message.recipients == ("ada@example.test", "eve@example.test")
    assert built["Subject"] == "Grüße"
    assert built["From"] == f"Portal <{PORTAL}>"
    assert built["X-Portal"] == "42"
    assert [part.get_filename() for part in built.iter_attachments()] == ["notes.txt"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ([{"name": "List-Unsubscribe", "value": "<mailto:x@y.test>"}], "InvalidInternetMessageHeader"),
        ([{"name": f"X-{number}", "value": "1"} for number in range(6)], "InvalidInternetMessageHeaderCollection"),
    ],
)
def test_json_takes_five_headers_of_ones_own(
    microsoft: MicrosoftServer, application: Application, headers: list[dict[str, str]], code: str
) -> None:
    resource = message_resource(internetMessageHeaders=headers)

    answer = application.graph("POST", SEND_MAIL, microsoft.app_token(CLIENT_ID), json={"message": resource})

    assert code_of(answer) == (400, code)
    assert microsoft.messages == []


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"no base64!", (400, "ErrorMimeContentInvalidBase64String")),
        (b64encode(b"not a message"), (400, "ErrorMimeContentInvalid")),
        (b64encode(b"From: portal@contoso.test\r\n\r\nTo nobody\r\n"), (400, "ErrorInvalidRecipients")),
        (b64encode(b"To: nobody\r\n\r\n"), (400, "ErrorInvalidRecipients")),
        (b64encode(CONTENT.replace(b"portal@", b"ceo@")), (403, "ErrorSendAsDenied")),
        (b"A" * (4 * 1024 * 1024 + 1), (413, "RequestEntityTooLarge")),
    ],
)
def test_a_message_that_is_not_good_is_refused(
    microsoft: MicrosoftServer, application: Application, content: bytes, expected: tuple[int, str]
) -> None:
    answer = application.graph("POST", SEND_MAIL, microsoft.app_token(CLIENT_ID), data=content, headers=TEXT)

    assert code_of(answer) == expected
    assert microsoft.messages == []


def test_an_error_has_the_shape_of_graphs(microsoft: MicrosoftServer, application: Application) -> None:
    answer = application.graph(
        "POST", SEND_MAIL, microsoft.app_token(CLIENT_ID), data=b"!", headers=TEXT | {"client-request-id": "abc"}
    )

    error = answer.json()["error"]
    assert error["message"] == "Invalid base64 string for MIME content."
    assert error["innerError"]["client-request-id"] == "abc"
    assert error["innerError"]["request-id"] == answer.headers["request-id"]
    assert sorted(error["innerError"]) == ["client-request-id", "date", "request-id"]


def test_who_may_send_as_another_does(microsoft: MicrosoftServer, application: Application) -> None:
    microsoft.add_mailbox(TENANT, "desk@contoso.test", send_as=["News@contoso.test"])
    content = CONTENT.replace(b"portal@contoso.test", b"news@contoso.test")
    own, shared = (
        microsoft.grant(CLIENT_ID, "desk@contoso.test", *scopes).access_token
        for scopes in (["Mail.Send"], ["Mail.Send", "Mail.Send.Shared"])
    )

    by_the_app = send(application, "/v1.0/users/desk@contoso.test/sendMail", microsoft.app_token(CLIENT_ID), content)
    by_a_person = send(application, "/v1.0/me/sendMail", own, content)
    by_a_person_with_permission = send(application, "/v1.0/me/sendMail", shared, content)

    assert by_the_app.status_code == 202
    assert code_of(by_a_person) == (403, "ErrorSendAsDenied")
    assert by_a_person_with_permission.status_code == 202


def test_anothers_mailbox_is_open_to_its_delegates(microsoft: MicrosoftServer, application: Application) -> None:
    microsoft.add_mailbox(TENANT, "shared@contoso.test", delegates=[PORTAL])
    content = CONTENT.replace(b"portal@contoso.test", b"shared@contoso.test")
    delegate, stranger = (
        microsoft.grant(CLIENT_ID, account, "Mail.Send", "Mail.Send.Shared").access_token for account in (PORTAL, ADMIN)
    )

    allowed = send(application, "/v1.0/users/shared@contoso.test/sendMail", delegate, content)
    refused = send(application, "/v1.0/users/shared@contoso.test/sendMail", stranger, content)

    assert allowed.status_code == 202
    assert microsoft.messages[0].mailbox == "shared@contoso.test"
    assert code_of(refused) == (403, "ErrorAccessDenied")


@pytest.mark.parametrize("roles", [[], ["Mail.Send"]], ids=["role in Exchange", "access policy"])
def test_an_app_with_a_scope_sends_within_it(
    microsoft: MicrosoftServer, application: Application, roles: list[str]
) -> None:
    registered(microsoft, application=roles, scoped_mailboxes=[PORTAL.upper()])
    token = microsoft.app_token(CLIENT_ID)

    within = send(application, SEND_MAIL, token)
    outside = send(application, f"/v1.0/users/{ADMIN}/sendMail", token)

    assert within.status_code == 202
    assert code_of(outside) == (403, "ErrorAccessDenied")


def test_without_the_permission_nobody_sends(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, application=["User.Read.All"])

    by_the_app = send(application, SEND_MAIL, microsoft.app_token(CLIENT_ID))
    by_a_person = send(application, "/v1.0/me/sendMail", microsoft.grant(CLIENT_ID, PORTAL, "User.Read").access_token)
    as_nobody = send(application, "/v1.0/me/sendMail", microsoft.app_token(CLIENT_ID))

    assert code_of(by_the_app) == (403, "ErrorAccessDenied")
    assert code_of(by_a_person) == (403, "ErrorAccessDenied")
    assert code_of(as_nobody) == (400, "BadRequest")


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"has_exchange": False}, (404, "MailboxNotEnabledForRESTAPI")),
        ({"is_blocked": True}, (403, "ErrorMessageSubmissionBlocked")),
        ({"user_principal_name": "d.esk@contoso.onmicrosoft.test"}, (404, "ErrorInvalidUser")),
    ],
)
def test_a_mailbox_that_cannot_send_says_why(
    microsoft: MicrosoftServer, application: Application, settings: dict[str, Any], expected: tuple[int, str]
) -> None:
    microsoft.add_mailbox(TENANT, "desk@contoso.test", **settings)
    content = CONTENT.replace(b"portal@", b"desk@")

    answer = send(application, "/v1.0/users/desk%40contoso.test/sendMail", microsoft.app_token(CLIENT_ID), content)

    assert code_of(answer) == expected


def test_a_mailbox_of_another_tenant_is_not_found(microsoft: MicrosoftServer, application: Application) -> None:
    answer = send(application, "/v1.0/users/bob@fabrikam.test/sendMail", microsoft.app_token(CLIENT_ID))

    assert code_of(answer) == (404, "ErrorInvalidUser")
    assert answer.json()["error"]["message"] == "The requested user 'bob@fabrikam.test' is invalid."


def test_only_a_good_token_is_let_in(microsoft: MicrosoftServer, application: Application) -> None:
    good = microsoft.app_token(CLIENT_ID)
    header, claims, signature = good.split(".")
    for_exchange = microsoft.grant(CLIENT_ID, PORTAL, SMTP_SEND).access_token

    answers = [
        send(application, SEND_MAIL, token)
        for token in ("", "opaque", f"{header}.{claims}.{signature[::-1]}", for_exchange)
    ]
    microsoft.pass_time(timedelta(hours=1))
    answers.append(send(application, SEND_MAIL, good))

    assert [code_of(answer) for answer in answers] == [(401, "InvalidAuthenticationToken")] * 5
    assert [answer.json()["error"]["message"] for answer in answers] == [
        "Access token is empty.",
        "Access token validation failure.",
        "Access token validation failure.",
        "Access token validation failure. Invalid audience.",
        "Lifetime validation failed, the token is expired.",
    ]
    assert answers[0].headers["WWW-Authenticate"].startswith('Bearer realm="", authorization_uri="https://127.0.0.1:')


def large_draft(application: Application, token: str) -> str:
    answer = application.graph("POST", "/v1.0/me/messages", token, data=b64encode(CONTENT), headers=TEXT)
    assert answer.status_code == 201
    return f"/v1.0/me/messages/{answer.json()['id']}"


def test_a_large_attachment_goes_up_in_pieces(microsoft: MicrosoftServer, application: Application) -> None:
    token = microsoft.grant(CLIENT_ID, PORTAL, "Mail.Send", "Mail.ReadWrite").access_token
    draft, file = large_draft(application, token), bytes(range(256)) * 4096 * 5
    item = {"attachmentType": "file", "name": "plan.pdf", "size": len(file), "contentType": "application/pdf"}

    session = application.graph(
        "POST", f"{draft}/attachments/createUploadSession", token, json={"AttachmentItem": item}
    )
    progress = []
    for start in range(0, len(file), 2**21):
        piece = file[start : start + 2**21]
        span = {"Content-Range": f"bytes {start}-{start + len(piece) - 1}/{len(file)}"}
        progress.append(application.session.put(session.json()["uploadUrl"], data=piece, headers=span, timeout=10))
    sent = application.graph("POST", f"{draft}/send", token)

    [message] = microsoft.messages
    [attached] = message_from_bytes(message.content, policy=SMTP).iter_attachments()
    assert session.status_code == 201
    assert session.json()["nextExpectedRanges"] == ["0-"]
    assert [answer.status_code for answer in progress] == [200, 200, 201]
    assert progress[0].json()["nextExpectedRanges"] == ["2097152-"]
    assert "/attachments/" in progress[2].headers["Location"]
    assert sent.status_code == 202
    assert message.how == "draft"
    assert attached.get_filename() == "plan.pdf"
    assert attached.get_content() == file


def test_pieces_come_in_order_and_without_a_token(microsoft: MicrosoftServer, application: Application) -> None:
    token = microsoft.grant(CLIENT_ID, PORTAL, "Mail.Send", "Mail.ReadWrite").access_token
    item = {"attachmentType": "file", "name": "plan.pdf", "size": 2**22}
    session = application.graph(
        "POST",
        f"{large_draft(application, token)}/attachments/createUploadSession",
        token,
        json={"AttachmentItem": item},
    )
    address, first = session.json()["uploadUrl"], {"Content-Range": f"bytes 0-9/{2**22}"}

    later = application.session.put(address, data=b"x" * 10, headers={"Content-Range": f"bytes 10-19/{2**22}"})
    short = application.session.put(address, data=b"x" * 9, headers=first)
    signed = application.session.put(address, data=b"x" * 10, headers=first | {"Authorization": f"Bearer {token}"})
    good = application.session.put(address, data=b"x" * 10, headers=first)

    assert code_of(later) == (416, "InvalidRange")
    assert code_of(short) == (416, "InvalidRange")
    assert code_of(signed) == (401, "InvalidAuthenticationToken")
    assert good.json()["nextExpectedRanges"] == ["10-"]


def test_a_draft_is_answered_with_whom_it_was_understood_to_be_for(
    microsoft: MicrosoftServer, application: Application
) -> None:
    token = microsoft.grant(CLIENT_ID, PORTAL, "Mail.Send", "Mail.ReadWrite").access_token
    headers = (
        b"From: Portal <portal@contoso.test>\r\nTo: =?utf-8?q?Zo=C3=AB?= <zoe@contoso.test>, bob@fabrikam.test\r\n"
        b"Bcc: audit@contoso.test\r\n\r\n"
    )

    draft = application.graph("POST", "/v1.0/me/messages", token, data=b64encode(headers), headers=TEXT).json()

    assert draft["from"] == {"emailAddress": {"name": "Portal", "address": "portal@contoso.test"}}
    assert draft["toRecipients"] == [
        {"emailAddress": {"name": "Zoë", "address": "zoe@contoso.test"}},
        {"emailAddress": {"name": "bob@fabrikam.test", "address": "bob@fabrikam.test"}},
    ]
    assert draft["ccRecipients"] == []
    assert [one["emailAddress"]["address"] for one in draft["bccRecipients"]] == ["audit@contoso.test"]


def test_a_draft_without_attachments_is_sent_as_it_is_and_once(
    microsoft: MicrosoftServer, application: Application
) -> None:
    token = microsoft.grant(CLIENT_ID, PORTAL, "Mail.Send", "Mail.ReadWrite").access_token
    draft = large_draft(application, token)

    first = application.graph("POST", f"{draft}/send", token)
    second = application.graph("POST", f"{draft}/send", token)

    assert first.status_code == 202
    assert code_of(second) == (404, "ErrorItemNotFound")
    assert microsoft.messages[0].content == CONTENT


def test_a_draft_takes_small_attachments_and_can_be_thrown_away(
    microsoft: MicrosoftServer, application: Application
) -> None:
    token = microsoft.grant(CLIENT_ID, PORTAL, "Mail.Send", "Mail.ReadWrite").access_token
    kept, thrown_away = large_draft(application, token), large_draft(application, token)
    resource = {
        "@odata.type": "#microsoft.graph.fileAttachment",
        "name": "notes.txt",
        "contentType": "text/plain",
        "contentBytes": b64encode(b"Notes").decode(),
    }

    attached = application.graph("POST", f"{kept}/attachments", token, json=resource)
    deleted = application.graph("DELETE", thrown_away, token)
    application.graph("POST", f"{kept}/send", token)

    assert attached.status_code == 201
    assert deleted.status_code == 204
    assert code_of(application.graph("POST", f"{thrown_away}/send", token)) == (404, "ErrorItemNotFound")
    [part] = message_from_bytes(microsoft.messages[0].content, policy=SMTP).iter_attachments()
    assert part.get_content() == "Notes"


def test_drafts_need_more_than_the_permission_to_send(microsoft: MicrosoftServer, application: Application) -> None:
    token = microsoft.grant(CLIENT_ID, PORTAL, "Mail.Send").access_token

    answer = application.graph("POST", "/v1.0/me/messages", token, data=b64encode(CONTENT), headers=TEXT)

    assert code_of(answer) == (403, "ErrorAccessDenied")


def test_oneself_can_be_read(microsoft: MicrosoftServer, application: Application) -> None:
    token = microsoft.grant(CLIENT_ID, PORTAL, "User.Read").access_token

    all_of_it = application.graph("GET", "/v1.0/me", token)
    some = application.graph("GET", "/v1.0/me", token, params={"$select": "mail,userPrincipalName"})
    without = application.graph("GET", "/v1.0/me", microsoft.grant(CLIENT_ID, PORTAL, "Mail.Send").access_token)

    assert all_of_it.json() == {
        "id": "44444444-4444-4444-8444-444444444444",
        "displayName": "Portal",
        "mail": PORTAL,
        "userPrincipalName": PORTAL,
        "proxyAddresses": [f"SMTP:{PORTAL}"],
    }
    assert some.json() == {"mail": PORTAL, "userPrincipalName": PORTAL}
    assert code_of(without) == (403, "Authorization_RequestDenied")


@pytest.mark.parametrize(
    ("roles", "user", "status"),
    [
        (["User.Read.All"], ADMIN, 200),
        (["User.ReadBasic.All"], ADMIN, 200),
        (["User.Read.All"], "nobody@contoso.test", 404),
        (["Mail.Send"], ADMIN, 403),
    ],
)
def test_users_can_be_read_with_the_permission(
    microsoft: MicrosoftServer, application: Application, roles: list[str], user: str, status: int
) -> None:
    registered(microsoft, application=roles)

    answer = application.graph(
        "GET", f"/v1.0/users/{user}", microsoft.app_token(CLIENT_ID), params={"$select": "id,mail"}
    )

    assert answer.status_code == status
    assert (answer.json().get("mail") == ADMIN) == (status == 200)


def test_an_app_reads_when_its_secrets_end(microsoft: MicrosoftServer, application: Application) -> None:
    registered(microsoft, secrets={SECRET: date(2027, 3, 1)}, application=["Application.Read.All"])
    path = f"/v1.0/applications(appId='{CLIENT_ID}')"
    select = {"$select": "displayName,passwordCredentials,keyCredentials"}

    answer = application.graph("GET", path, microsoft.app_token(CLIENT_ID), params=select)
    registered(microsoft, application=["Mail.Send"])
    refused = application.graph("GET", path, microsoft.app_token(CLIENT_ID), params=select)

    [credential] = answer.json()["passwordCredentials"]
    assert sorted(answer.json()) == ["displayName", "keyCredentials", "passwordCredentials"]
    assert credential["endDateTime"] == "2027-03-01T00:00:00Z"
    assert credential["hint"] == "abc"
    assert credential["secretText"] is None
    assert code_of(refused) == (403, "Authorization_RequestDenied")


def test_a_fifth_request_at_a_time_is_throttled(microsoft: MicrosoftServer, application: Application) -> None:
    token = microsoft.app_token(CLIENT_ID)
    microsoft.on("sendMail", delay=1.0)

    with ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda _: send(application, SEND_MAIL, token), range(5)))
    microsoft.forget_scripts()
    later = send(application, SEND_MAIL, token)

    [throttled] = [answer for answer in answers if answer.status_code != 202]
    assert code_of(throttled) == (429, "ApplicationThrottled")
    assert throttled.headers["Retry-After"] == "10"
    assert later.status_code == 202
    assert len(microsoft.messages) == 5


def test_continuous_access_evaluation_asks_for_another_token(
    microsoft: MicrosoftServer, application: Application
) -> None:
    microsoft.on("sendMail", status=401, headers=microsoft.claims_challenge, times=1)

    challenged = send(application, SEND_MAIL, microsoft.app_token(CLIENT_ID))
    later = send(application, SEND_MAIL, microsoft.app_token(CLIENT_ID))

    assert code_of(challenged) == (401, "InvalidAuthenticationToken")
    assert 'error="insufficient_claims", claims="ey' in challenged.headers["WWW-Authenticate"]
    assert later.status_code == 202


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ({"status": 429, "headers": {"Retry-After": "30"}}, (429, "ApplicationThrottled")),
        ({"status": 503}, (503, "serviceNotAvailable")),
        ({"code": "ErrorExceededMessageLimit"}, (403, "ErrorExceededMessageLimit")),
        ({"status": 400, "body": {"error": {"code": "odd", "message": "x", "innererror": {}}}}, (400, "odd")),
    ],
)
def test_scripted_refusals_have_graphs_shape(
    microsoft: MicrosoftServer, application: Application, script: dict[str, Any], expected: tuple[int, str]
) -> None:
    microsoft.on("sendMail", **script)

    answer = send(application, SEND_MAIL, microsoft.app_token(CLIENT_ID))

    assert code_of(answer) == expected
    assert answer.headers.get("Retry-After") == script.get("headers", {}).get("Retry-After")
    assert microsoft.messages == []


def test_a_page_in_place_of_json_is_answered_as_scripted(microsoft: MicrosoftServer, application: Application) -> None:
    microsoft.on("sendMail", status=502, body="<h1>Bad gateway</h1>")

    answer = send(application, SEND_MAIL, microsoft.app_token(CLIENT_ID))

    assert answer.status_code == 502
    assert answer.text == "<h1>Bad gateway</h1>"
    assert answer.headers["Content-Type"].startswith("text/html")


def test_a_message_whose_answer_is_lost_was_taken(microsoft: MicrosoftServer, application: Application) -> None:
    token = microsoft.app_token(CLIENT_ID)
    microsoft.on("sendMail", drop="after", times=1)

    with pytest.raises(requests.ConnectionError):
        send(application, SEND_MAIL, token)
    microsoft.on("sendMail", drop="before", times=1)
    with pytest.raises(requests.ConnectionError):
        send(application, SEND_MAIL, token)

    assert len(microsoft.wait_for_messages(1)) == 1


def test_an_address_that_graph_has_not_is_not_found(microsoft: MicrosoftServer, application: Application) -> None:
    answer = application.graph("GET", "/v1.0/groups", microsoft.app_token(CLIENT_ID))

    assert answer.status_code == 404
