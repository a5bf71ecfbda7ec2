import json
import os
import urllib.request

message = {
    "to": ["Ada Lovelace <ada@contoso.test>"],
    "subject": "Your report is ready",
    "text": "You find it in the wiki.",
}
request = urllib.request.Request(
    "http://localhost:8000/api/v1/messages",
    data=json.dumps(message).encode(),
    headers={
        "Authorization": f"Bearer {os.environ['MAIL_PORTAL_KEY']}",
        "Content-Type": "application/json",
        "Idempotency-Key": "report-2026-11-21",
    },
)
with urllib.request.urlopen(request, timeout=30) as answer:
    print(json.load(answer)["id"])
