"""`pipeline` that gives up after seconds instead of minutes, so that stalls of a campaign can outlast its patience."""

from __future__ import annotations

import httpx2

from pipeline.cli import entry
from pipeline.hub import client, retry

client.TIMEOUT = httpx2.Timeout(connect=5, read=2, write=2, pool=None)
(retry.Patient.__init__.__kwdefaults__ or {})["call_seconds"] = 3
entry()
