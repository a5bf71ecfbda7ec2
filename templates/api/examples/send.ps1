$message = @{
    to      = @("Ada Lovelace <ada@contoso.test>")
    subject = "Your report is ready"
    text    = "You find it in the wiki."
} | ConvertTo-Json

Invoke-RestMethod -Method Post `
    -Uri "http://localhost:8000/api/v1/messages" `
    -Headers @{
        "Authorization"   = "Bearer $env:MAIL_PORTAL_KEY"
        "Idempotency-Key" = "report-2026-11-21"
    } `
    -ContentType "application/json; charset=utf-8" `
    -Body ([System.Text.Encoding]::UTF8.GetBytes($message))
