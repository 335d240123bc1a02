"""The page at `/` in a real browser, used with the keyboard only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import BROWSER_NAMES, BrowserPage, find_browser, open_browser
from exchange_harness import LISTEN_TOKEN_PATH, RISK_LISTEN_KEY_PATH
from sandbox_client import SandboxClient

from binance_margin_stream.sandbox import Sandbox

pytestmark = [
    pytest.mark.skipif(find_browser() is None, reason=f"there is no browser here: none of {', '.join(BROWSER_NAMES)}"),
    pytest.mark.timeout(120),
]

FOCUSABLE = "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]"
EVENTS = "[...document.querySelectorAll('#events li')].map(e => e.innerText)"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserPage]:
    with open_browser(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(tab: BrowserPage, exchange: Sandbox) -> Iterator[BrowserPage]:
    """The loaded page; afterwards, its console must have no errors."""
    tab.console_errors.clear()
    tab.open(f"{exchange.url}/")
    tab.wait_for("document.querySelector('#facts').innerText.startsWith('Exchange time')")
    yield tab
    complaints = list(tab.console_errors)
    tab.open("about:blank")
    assert complaints == []


def test_it_says_that_it_is_no_exchange(page: BrowserPage) -> None:
    assert page.evaluate("document.title") == "Margin sandbox (not an exchange)"
    assert "This is not an exchange." in page.evaluate("document.querySelector('header').innerText")


def test_an_order_is_placed_and_filled_with_the_keyboard(page: BrowserPage, exchange: Sandbox) -> None:
    page.tab_to("Place a limit order")
    page.press_key("Enter")
    page.wait_for("document.querySelector('[role=status]').innerText === 'place-order: order 1, BUY 1 BTCUSDT, NEW'")
    page.wait_for(f"{EVENTS}.some(e => e.includes('NEW BUY LIMIT BTCUSDT, order 1: 0 of 1 filled'))")
    assert [order.order_id for order in exchange.open_orders()] == [1]
    page.tab_to("Fill order 1")
    page.press_key(" ")
    page.wait_for("!document.querySelector('#orders tbody tr')")
    page.wait_for(f"{EVENTS}.some(e => e.includes('TRADE BUY LIMIT BTCUSDT, order 1: 1 of 1 filled'))")
    assert exchange.open_orders() == []
    assert page.evaluate("document.querySelector('#orders').innerText") == "None."


def test_prices_are_set_with_the_keyboard(page: BrowserPage, exchange: Sandbox) -> None:
    page.tab_to("Symbol")
    page.type_text("ETHUSDT")
    page.press_key("Tab")
    page.type_text("3000.5")
    page.press_key("Enter")
    page.wait_for("document.querySelector('#prices tbody').innerText.startsWith('ETHUSDT\\t3000.5')")
    page.tab_to("New price of ETHUSDT")
    page.type_text("3100")
    page.press_key("Tab")
    assert page.get_focused_name() == "Set the price of ETHUSDT"
    page.press_key("Enter")
    page.wait_for("document.querySelector('#prices tbody').innerText.startsWith('ETHUSDT\\t3100')")
    assert page.get_focused_name() == "Set the price of ETHUSDT"
    assert exchange.price("ETHUSDT") == 3100


def test_trades_closed_orders_and_requests_are_listed(page: BrowserPage, client: SandboxClient) -> None:
    exchange = client.exchange
    exchange.fill_order(exchange.place_order("ETHUSDT", "SELL", quantity="2", price="3500").order_id, "0.5")
    exchange.cancel_order()
    client.call_rest("GET", "/sapi/v1/margin/crossMarginData")
    page.wait_for("document.querySelector('#closed-orders tbody tr')")
    trades = page.evaluate("document.querySelector('#trades tbody').innerText")
    assert trades.split("\t")[1:] == ["1", "1 cross", "SELL 0.5 ETHUSDT at 3500", "1.75 USDT"]
    closed = page.evaluate("document.querySelector('#closed-orders tbody').innerText")
    assert closed.split("\t") == ["1", "1 cross", "SELL ETHUSDT", "LIMIT", "0.5 of 2", "CANCELED"]
    page.wait_for("document.querySelector('#requests li')")
    request = page.evaluate("document.querySelector('#requests li').innerText")
    assert request.endswith("GET /sapi/v1/margin/crossMarginData (404, code -1020, from 127.0.0.1)")


def test_an_endpoint_is_copied(page: BrowserPage, exchange: Sandbox) -> None:
    permissions = ["clipboardReadWrite", "clipboardSanitizedWrite"]
    page.send_command("Browser.grantPermissions", origin=exchange.url, permissions=permissions)
    page.tab_to("Copy the URL of WebSocket API")
    page.press_key("Enter")
    page.wait_for("document.querySelector('[role=status]').innerText.startsWith('copied: ')")
    assert page.evaluate("navigator.clipboard.readText()") == exchange.endpoints.websocket_api
    assert page.get_focused_name() == "Copy the URL of WebSocket API"


def test_what_cannot_be_undone_is_confirmed(page: BrowserPage, exchange: Sandbox) -> None:
    page.tab_to("Revoke the API key")
    page.press_key("Enter")
    assert page.evaluate("document.querySelector('dialog').open")
    assert page.evaluate("document.querySelector('dialog').innerText").startswith("Revoke all API keys of the user?")
    page.press_key("Escape")
    page.wait_for("!document.querySelector('dialog').open")
    assert page.get_focused_name() == "Revoke the API key"
    page.press_key("Enter")
    assert page.get_focused_name() == "Leave it"
    page.press_key("Enter")
    page.wait_for("!document.querySelector('dialog').open")
    assert page.evaluate("document.querySelector('[role=status]').innerText") == ""
    page.press_key("Enter")
    page.tab_to("Do it")
    page.press_key("Enter")
    page.wait_for("document.querySelector('[role=status]').innerText === 'revoke-api-key: done'")
    assert page.get_focused_name() == "Revoke the API key"
    page.wait_for("document.querySelector('#users tbody').innerText.includes('revoked')")


def test_the_focus_moves_on_when_its_row_is_gone(page: BrowserPage, exchange: Sandbox) -> None:
    for _ in range(3):
        exchange.place_order()
    page.wait_for("document.querySelectorAll('#orders tbody tr').length === 3")
    page.tab_to("Cancel order 2")
    for expected in ("Cancel order 3", "Cancel order 1"):
        page.press_key("Enter")
        page.wait_for(f"document.activeElement.getAttribute('aria-label') === '{expected}'")
    page.press_key("Enter")
    page.wait_for("document.activeElement.id === 'orders-title'")


def test_known_values_are_offered(page: BrowserPage, exchange: Sandbox) -> None:
    exchange.change_balance("ETH", 1, account="ETHUSDT")
    page.evaluate("document.querySelector('details').open = true")
    page.wait_for("document.querySelector('#accounts').innerText.includes('User 1, ETHUSDT')")
    options = "[...document.querySelectorAll('#field-{} option')].map(e => e.value)"
    assert page.evaluate(options.format("side")) == ["", "BUY", "SELL"]
    assert "STOP_LOSS_LIMIT" in page.evaluate(options.format("type"))
    offered = "[...document.getElementById('field-{}').list.options].map(e => e.value)"
    assert page.evaluate(offered.format("account")) == ["ETHUSDT", "cross"]
    assert "ETHUSDT" in page.evaluate(offered.format("symbol"))


def test_a_failed_operation_is_announced(page: BrowserPage) -> None:
    page.tab_to("Fill the newest order")
    page.press_key("Enter")
    page.wait_for("document.querySelector('[role=status]').innerText === 'fill-order: no order is open'")


def test_any_operation_can_be_run_from_the_form(page: BrowserPage, exchange: Sandbox) -> None:
    page.tab_to("All operations, with all parameters")
    page.press_key("Enter")
    page.tab_to("Operation")
    page.type_text("change-balance")
    page.wait_for("document.querySelector('#about').innerText.startsWith('Add an asset')")
    page.tab_to("asset")
    page.press_key("Enter")
    assert page.get_focused_name() == "asset", "what is required is asked for"
    page.type_text("ETH")
    page.press_key("Tab")
    assert page.get_focused_name() == "delta"
    assert page.evaluate("document.getElementById(document.activeElement.getAttribute('aria-describedby')).innerText")
    page.type_text("-2.5")
    page.tab_to("Run")
    page.press_key("Enter")
    page.wait_for("document.querySelector('[role=status]').innerText === 'change-balance: done'")
    assert str(exchange.balances()["ETH"].free) == "999997.5"
    page.wait_for(f"{EVENTS}.some(e => e.includes('-2.5 ETH'))")


def test_a_fault_can_be_injected(page: BrowserPage, client: SandboxClient) -> None:
    with client.open_subscribed():
        page.wait_for("document.querySelector('#connections tbody tr')")
        page.tab_to("Drop connections")
        page.press_key("Enter")
        page.wait_for("!document.querySelector('#connections tbody tr')")
    page.tab_to("Fail the next request")
    page.press_key("Enter")
    page.wait_for("document.querySelector('#faults tbody').innerText.startsWith('static response, status 503\\tonce')")
    assert client.call_rest("POST", LISTEN_TOKEN_PATH)[0] == 503
    page.wait_for("!document.querySelector('#faults tbody tr')")


def test_keys_and_tokens_are_masked_and_show_their_remaining_time(page: BrowserPage, client: SandboxClient) -> None:
    key = client.call_json("POST", RISK_LISTEN_KEY_PATH)["listenKey"]
    with client.open_subscribed():
        client.exchange.place_order(account="ETHUSDT", symbol="ETHUSDT")
        page.wait_for("document.querySelectorAll('#credentials tbody tr').length === 2")
        shown = page.evaluate("document.querySelector('#credentials').innerText")
        assert f"risk listen key\t…{key[-4:]}\t1\tcross\t59 min" in shown
        page.wait_for("document.querySelector('#connections').innerText.includes('user 1 cross, 23 h 59 min left')")
        page.wait_for("document.querySelector('#accounts').innerText.includes('User 1, ETHUSDT')")
        document = page.evaluate("document.documentElement.outerHTML")
    assert not [secret for secret in (key, client.exchange.api_key, client.exchange.api_secret) if secret in document]


def test_the_focus_stays_where_it_is_while_things_change(page: BrowserPage, exchange: Sandbox) -> None:
    exchange.place_order()
    exchange.place_order()
    page.wait_for("document.querySelectorAll('#orders tbody tr').length === 2")
    page.tab_to("Cancel order 2")
    exchange.cancel_order(1)
    exchange.place_order()
    page.wait_for("document.querySelector('#orders tbody').innerText.startsWith('2') && "
              "document.querySelectorAll('#orders tbody tr').length === 2")  # fmt: skip
    assert page.get_focused_name() == "Cancel order 2"


def test_everything_is_reached_with_the_keyboard_and_has_a_name_and_a_visible_focus(
    page: BrowserPage, client: SandboxClient
) -> None:
    with client.open_subscribed():
        client.exchange.place_order()
        page.wait_for("document.querySelector('#orders tbody tr') && document.querySelector('#connections tbody tr')")
        page.evaluate("document.querySelector('details').open = true")
        visible = page.evaluate(f"{FOCUSABLE}.filter(e => e.checkVisibility()).length")
        page.evaluate("document.body.tabIndex = -1, document.body.focus()")
        names: list[str] = []
        for _ in range(visible):
            page.press_key("Tab")
            names.append(page.get_focused_name())
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", names[-1]
        reached = page.evaluate(f"{FOCUSABLE}.filter(e => e.checkVisibility()).length")
    assert reached == visible
    assert all(names)
    assert {"Place a limit order", "Advance 1 hour", "Operation", "Run", "Fill order 1"} <= set(names)
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)


def test_event_content_is_shown_as_text(page: BrowserPage, exchange: Sandbox) -> None:
    exchange.send_event({"e": "<img src=x onerror=alert(1)>", "x": "<script>alert(1)</script>"})
    page.wait_for(f"{EVENTS}.some(e => e.includes('<img src=x onerror=alert(1)>'))")
    assert page.evaluate("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize(("width", "mobile"), [(390, True), (1280, False)])
def test_it_fits_phone_and_desktop_in_light_and_dark(
    page: BrowserPage, client: SandboxClient, width: int, mobile: bool, exchange: Sandbox
) -> None:
    exchange.place_order()
    page.send_command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=mobile)
    colours = []
    with client.open_subscribed():
        exchange.inject_fault("server-error")
        page.wait_for("document.querySelector('#connections tbody tr') && document.querySelector('#faults tbody tr')")
        for scheme in ("light", "dark"):
            page.send_command(
                "Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}]
            )
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
            colours.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    page.send_command("Emulation.clearDeviceMetricsOverride")
    page.send_command("Emulation.setEmulatedMedia", features=[])
    assert colours == ["rgb(245, 246, 248)", "rgb(20, 23, 28)"]


def test_nothing_is_cut_off_on_a_desktop(page: BrowserPage, client: SandboxClient) -> None:
    exchange = client.exchange
    exchange.set_price("BTCUSDT", "61234.56789012")
    exchange.borrow("BTC", "0.123456789123456789")
    exchange.place_order("BTCUSDT", "BUY", quantity="0.12345678", price="70000")
    exchange.place_order("BTCUSDT", "SELL", "STOP_LOSS_LIMIT", "100.12345678", "60000.12345678", stop_price="60000.1")
    exchange.place_order("BTCUSDT", quantity="1000000000", price="60000", account="BTCUSDT")
    exchange.inject_fault("server-error", path="/sapi/v1/userDataStream/isolated", times=None)
    client.call_json("POST", RISK_LISTEN_KEY_PATH)
    page.send_command("Emulation.setDeviceMetricsOverride", width=1280, height=900, deviceScaleFactor=1, mobile=False)
    with client.open_subscribed(isIsolated="true", symbol="BTCUSDT"):
        page.wait_for("document.querySelector('#connections tbody tr') && document.querySelector('#faults tbody tr')")
        cut_off = page.evaluate(
            "[...document.querySelectorAll('.scroll')].filter(e => e.scrollWidth > e.clientWidth)"
            ".map(e => e.parentElement.id)"
        )
        tables = page.evaluate("[...document.querySelectorAll('.scroll')].filter(e => e.checkVisibility()).length")
    page.send_command("Emulation.clearDeviceMetricsOverride")
    assert cut_off == []
    assert tables == 11


def test_it_requests_nothing_from_other_hosts(page: BrowserPage, exchange: Sandbox) -> None:
    asked = page.evaluate("performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert not [name for name in asked if not name.startswith(f"{exchange.url}/sandbox/")]


def test_it_shows_that_the_sandbox_is_gone(page: BrowserPage, exchange: Sandbox) -> None:
    exchange.close()
    page.wait_for("document.querySelector('#facts').innerText.startsWith('The sandbox does not respond')")
    page.console_errors.clear()
