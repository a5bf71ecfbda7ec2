"""The diagnosis table: what servers and networks say, what it means, who can mend it and how.

Data only, in files by subject. The first row that fits decides, so the order of `ROWS` matters: what one
provider says stands before what any server may say, and what any refusal may mean stands last.
"""

from __future__ import annotations

from portal.transports.diagnosis_rows import (
    content,
    conversation,
    gmail,
    google,
    graph,
    http,
    kerberos,
    microsoft,
    microsoft_sign_in,
    network,
    oauth_google,
    oauth_microsoft,
    oauth_microsoft_accounts,
    recipient,
    sender,
    sign_in,
    tls,
)
from portal.transports.diagnosis_rows.row import Row

ROWS: tuple[Row, ...] = (
    *http.ROWS,
    *network.ROWS,
    *tls.ROWS,
    *microsoft_sign_in.ROWS,
    *microsoft.ROWS,
    *google.ROWS,
    *oauth_microsoft.ROWS,
    *oauth_microsoft_accounts.ROWS,
    *oauth_google.ROWS,
    *graph.ROWS,
    *gmail.ROWS,
    *kerberos.ROWS,
    *sign_in.ROWS,
    *sender.ROWS,
    *recipient.ROWS,
    *content.ROWS,
    *conversation.ROWS,
)
