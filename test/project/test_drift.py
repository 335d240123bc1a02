"""The drift report notices each change of the exchange's SDK, and reads it without importing it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "scripts" / "drift.py"

CALLS = '''
raise RuntimeError("imported")

class UserDataStreamApi:
    def start(self):
        """
        Start (USER_STREAM)
        Weight(UID): 1
        Security Type: USER_STREAM
        """
        return send_request(self._session, method="POST", path="/sapi/v1/margin/listen-key")

    def keepalive(self, listen_key: str, recv_window: int = None):
        """
        Weight(UID): 1
        """
        return send_request(self._session, method="PUT", path="/sapi/v1/margin/listen-key")

    def order(self, symbol: str):
        return send_signed_request(self._session, method="GET", path="/sapi/v1/margin/order")
'''
V2_CALL = """
    def start_v2(self):
        return send_request(self._session, method="POST", path="/sapi/v2/margin/listen-key")
"""
EVENTS = """
TRADE_EVENT_SCHEMA_MAP = {
    "balanceUpdate": BalanceUpdate,
    "listStatus": ListStatus,
}
"""
MODELS = """
class BalanceUpdate(BaseModel):
    E: Optional[StrictInt] = Field(default=None, alias="E")
    d: Optional[StrictStr] = Field(default=None)
    additional_properties: Dict[str, Any] = {}

class ListStatus(BaseModel):
    O: Optional[List[ListStatusOInner]] = Field(default=None, alias="O")

class ListStatusOInner(BaseModel):
    s: Optional[StrictStr] = Field(default=None)
"""


def make_wheel(file: Path, calls: str = CALLS, events: str = EVENTS, models: str = MODELS) -> Path:
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr("sdk/rest_api/api/user_data_stream_api.py", calls)
        wheel.writestr("sdk/websocket_streams/models/trade_data_stream_events_response.py", events)
        wheel.writestr("sdk/websocket_streams/models/models.py", models)
    return file


def run_drift(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"calls": CALLS + V2_CALL}, "appeared  POST /sapi/v2/margin/listen-key (here: yes)"),
        (
            {"calls": CALLS + V2_CALL.replace("v2/margin", "v3/margin")},
            "appeared  POST /sapi/v3/margin/listen-key (here: no)",
        ),
        ({"calls": CALLS.replace('"PUT"', '"GET"')}, "vanished  PUT /sapi/v1/margin/listen-key (here: yes)"),
        (
            {"calls": CALLS.replace("listen_key: str, ", "")},
            "vanished  PUT /sapi/v1/margin/listen-key: parameter listenKey (here: required)",
        ),
        (
            {"calls": CALLS.replace("Weight(UID): 1", "Weight(UID): 3000", 1)},
            "changed   POST /sapi/v1/margin/listen-key: weight: 1 UID -> 3000 UID (here: 1 UID)",
        ),
        (
            {"calls": CALLS.replace("Type: USER_STREAM", "Type: USER_DATA")},
            "changed   POST /sapi/v1/margin/listen-key: security: USER_STREAM -> USER_DATA\n",
        ),
        (
            {"events": EVENTS.replace('"balanceUpdate"', '"balanceChange"')},
            "appeared  event balanceChange (here: no)\nvanished  event balanceUpdate (here: yes)",
        ),
        (
            {"models": MODELS.replace("d: Optional[StrictStr]", "d: Optional[StrictInt]")},
            "changed   event balanceUpdate: field d: string -> integer (here: yes)",
        ),
        ({"models": MODELS.replace("s:", "x:")}, "appeared  event listStatus: field O.x (here: no)"),
    ],
    ids=["call", "call not here", "removed call", "parameter", "weight", "security", "event", "field type", "nested"],
)
def test_a_change_of_the_sdk_is_reported(tmp_path, changes, line):
    old, new = make_wheel(tmp_path / "old.whl"), make_wheel(tmp_path / "new.whl", **changes)
    report = run_drift(new, "--baseline", old)
    assert report.returncode == 1
    assert line in report.stdout


def test_an_accepted_change_is_not_reported_again(tmp_path):
    wheel, baseline = make_wheel(tmp_path / "new.whl"), tmp_path / "baseline.json"
    assert run_drift(wheel, "--baseline", baseline, "--accept").returncode == 0
    report = run_drift(wheel, "--baseline", baseline)
    assert report.stdout == "new.whl, compared with baseline.json\nnothing changed\n"
    assert report.returncode == 0


def test_an_openapi_file_is_compared_by_its_calls(tmp_path):
    spec = ROOT / "openapi" / "margin-stream.yaml"
    changed = tmp_path / "changed.yaml"
    changed.write_text(spec.read_text().replace("/sapi/v2/margin/listen-key:", "/sapi/v3/margin/listen-key:"))
    report = run_drift(changed, "--baseline", spec)
    assert report.returncode == 1
    assert [line.split(" (")[0] for line in report.stdout.splitlines()[1:]] == [
        f"{change}  {method} /sapi/{version}/margin/listen-key"
        for method in ("DELETE", "POST", "PUT")
        for change, version in (("vanished", "v2"), ("appeared", "v3"))
    ]


@pytest.mark.parametrize(
    "changes",
    [{"calls": "def nothing(): pass"}, {"calls": "def"}, {"models": ""}],
    ids=["no call", "not Python", "no model"],
)
def test_a_package_that_cannot_be_read_is_not_taken_for_an_unchanged_one(tmp_path, changes):
    report = run_drift(make_wheel(tmp_path / "new.whl", **changes))
    assert report.returncode == 2
    assert "new.whl" in report.stderr
    assert report.stdout == ""


def test_a_file_that_is_not_there_is_named(tmp_path):
    report = run_drift(tmp_path / "none.yaml")
    assert report.returncode == 2
    assert "none.yaml" in report.stderr


def test_this_package_has_every_call_and_event_field_of_the_reviewed_sdk():
    module_spec = importlib.util.spec_from_file_location("drift", SCRIPT)
    drift = importlib.util.module_from_spec(module_spec)
    module_spec.loader.exec_module(drift)
    reviewed, own = drift.read_source(drift.BASELINE), drift.read_own()
    assert len(reviewed) > 100
    assert [subject for subject in reviewed if subject not in own and not subject.endswith(": security")] == []
