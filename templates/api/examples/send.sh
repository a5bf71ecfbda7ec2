curl --silent --show-error --fail-with-body \
  http://localhost:8000/api/v1/messages \
  --header "Authorization: Bearer $MAIL_PORTAL_KEY" \
  --header "Content-Type: application/json" \
  --header "Idempotency-Key: report-2026-11-21" \
  --data '{
    "to": ["Ada Lovelace <ada@contoso.test>"],
    "subject": "Your report is ready",
    "text": "You find it in the wiki."
  }'
