"""A supervisor in a process of its own: `group.py '<json>'`, one line on standard output for each event."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from portal.supervisor import Part, Patience, Supervisor

wanted = json.loads(sys.argv[1])
ready_file = Path(wanted["ready_file"])
supervisor = Supervisor(
    [Part(name, tuple(command), drain) for name, command, drain in wanted["parts"]],
    say=lambda line: print(line, flush=True),
    patience=Patience(**wanted["patience"]),
    is_ready=ready_file.exists,
    on_ready=lambda: print("ready", flush=True),
)
sys.exit(supervisor.run())
