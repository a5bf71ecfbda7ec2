from __future__ import annotations

import re
from pathlib import Path

from tests.cli.conftest import Portal
from tests.settings_imports import samples


def test_an_import_is_planned_and_made_without_a_secret_on_the_terminal(portal: Portal, tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    file.write_text(samples.SMTP2GRAPH)

    planned = portal("settings", "import", str(file), "--plan")
    untouched = portal("settings", "export").stdout
    made = portal("settings", "import", str(file))
    exported = portal("settings", "export").stdout

    assert (planned.exit_code, made.exit_code) == (0, 0)
    assert planned.stdout.endswith("1 would be made, as drafts\n")
    assert made.stdout.endswith("1 made, as drafts\n")
    assert "  client_secret: taken (secret)  [line 7, send.appReg.secret]\n" in planned.stdout
    assert "server scanner: scanner, password: a new one  [line 15, receive.users[0]]\n" in planned.stdout
    assert "signs in" not in planned.stdout
    assert re.search("(?m)^scanner signs in as scanner [a-z2-9]{20}$", made.stdout)
    assert "canary" not in planned.stdout + made.stdout
    assert "SMTP2Graph" not in untouched
    assert "servers:\n- name: scanner\n" in exported
    assert "- name: SMTP2Graph\n  method: microsoft_app\n  role: draft\n" in exported


def test_what_cannot_be_used_is_named_with_file_and_line(portal: Portal) -> None:
    refused = portal("settings", "import", "-", stdin="MAIL_HOST=a.test\nMAIL_PORT=none at all\n")

    assert (refused.exit_code, refused.stderr) == (
        1,
        "Error: standard input, line 2, MAIL_PORT: expected a whole number from 1 to 65535\n",
    )
