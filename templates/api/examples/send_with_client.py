import os

from mail_portal_client import MailPortal

portal = MailPortal("http://localhost:8000", os.environ["MAIL_PORTAL_KEY"])
sent = portal.send(
    to=["Ada Lovelace <ada@contoso.test>"],
    subject="Your report is ready",
    text="You find it in the wiki.",
)
print(sent["id"])
