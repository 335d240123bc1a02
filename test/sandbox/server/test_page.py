"""The page at `/` in a real browser, used with the keyboard alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from browser import NAMES, Page, browsing, found
from exchange_harness import RISK, TOKEN
from sandbox_client import Client

from binance_margin_stream.sandbox import Sandbox

pytestmark = [
    pytest.mark.skipif(found() is None, reason=f"there is no browser here: none of {', '.join(NAMES)}"),
    pytest.mark.timeout(120),
]

FOCUSABLE = "[...document.querySelectorAll('a[href], button, input, select, summary, [tabindex=\"0\"]')]"
EVENTS = "[...document.querySelectorAll('#events li')].map(e => e.innerText)"


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("browser")) as page:
        yield page


@pytest.fixture
def page(tab: Page, exchange: Sandbox) -> Iterator[Page]:
    """The page, loaded; afterwards its script and its policy must have had nothing to complain of."""
    tab.complaints.clear()
    tab.open(f"{exchange.url}/")
    tab.wait("document.querySelector('#facts').innerText.startsWith('Exchange time')")
    yield tab
    complaints = list(tab.complaints)
    tab.open("about:blank")
    assert complaints == []


def test_it_says_that_it_is_no_exchange(page: Page) -> None:
    assert page.look("document.title") == "Margin sandbox (not an exchange)"
    assert "This is not an exchange." in page.look("document.querySelector('header').innerText")


def test_an_order_is_placed_and_filled_with_the_keyboard(page: Page, exchange: Sandbox) -> None:
    page.tab_to("Place a limit order")
    page.press("Enter")
    page.wait("document.querySelector('[role=status]').innerText === 'place-order: order 1, BUY 1 BTCUSDT, NEW'")
    page.wait(f"{EVENTS}.some(e => e.includes('NEW BUY LIMIT BTCUSDT, order 1: 0 of 1 filled'))")
    assert [order.order_id for order in exchange.open_orders()] == [1]
    page.tab_to("Fill order 1")
    page.press(" ")
    page.wait("!document.querySelector('#orders tbody tr')")
    page.wait(f"{EVENTS}.some(e => e.includes('TRADE BUY LIMIT BTCUSDT, order 1: 1 of 1 filled'))")
    assert exchange.open_orders() == []
    assert page.look("document.querySelector('#orders').innerText") == "None."


def test_what_cannot_be_done_is_announced(page: Page) -> None:
    page.tab_to("Fill the last order")
    page.press("Enter")
    page.wait("document.querySelector('[role=status]').innerText === 'fill-order: no order is open'")


def test_any_operation_is_done_from_its_form(page: Page, exchange: Sandbox) -> None:
    page.tab_to("Anything else, with all its parameters")
    page.press("Enter")
    page.tab_to("Operation")
    page.type("balance")
    page.wait("document.querySelector('#about').innerText.startsWith('Move an asset')")
    page.tab_to("asset")
    page.press("Enter")
    assert page.focused() == "asset", "what is required is asked for"
    page.type("ETH")
    page.press("Tab")
    assert page.focused() == "delta"
    assert page.look("document.getElementById(document.activeElement.getAttribute('aria-describedby')).innerText")
    page.type("-2.5")
    page.tab_to("Do it")
    page.press("Enter")
    page.wait("document.querySelector('[role=status]').innerText === 'balance-update: done'")
    assert str(exchange.balances()["ETH"].free) == "999997.5"
    page.wait(f"{EVENTS}.some(e => e.includes('-2.5 ETH'))")


def test_a_fault_is_let_loose(page: Page, client: Client) -> None:
    with client.subscribed():
        page.wait("document.querySelector('#connections tbody tr')")
        page.tab_to("Drop connections")
        page.press("Enter")
        page.wait("!document.querySelector('#connections tbody tr')")
    page.tab_to("Fail the next call")
    page.press("Enter")
    page.wait("document.querySelector('#faults tbody').innerText.startsWith('answer with, status 503\\tonce')")
    assert client.call("POST", TOKEN)[0] == 503
    page.wait("!document.querySelector('#faults tbody tr')")


def test_keys_and_tokens_are_masked_and_show_how_long_they_live(page: Page, client: Client) -> None:
    key = client.json("POST", RISK)["listenKey"]
    with client.subscribed():
        client.exchange.place_order(account="ETHUSDT", symbol="ETHUSDT")
        page.wait("document.querySelectorAll('#credentials tbody tr').length === 2")
        shown = page.look("document.querySelector('#credentials').innerText")
        assert f"risk listen key\t…{key[-4:]}\t1\tcross\t59 min" in shown
        page.wait("document.querySelector('#connections').innerText.includes('user 1 cross, 23 h 59 min left')")
        page.wait("document.querySelector('#accounts').innerText.includes('User 1, ETHUSDT')")
        document = page.look("document.documentElement.outerHTML")
    assert not [secret for secret in (key, client.exchange.api_key, client.exchange.api_secret) if secret in document]


def test_the_focus_stays_where_it_is_while_things_change(page: Page, exchange: Sandbox) -> None:
    exchange.place_order()
    exchange.place_order()
    page.wait("document.querySelectorAll('#orders tbody tr').length === 2")
    page.tab_to("Cancel order 2")
    exchange.cancel_order(1)
    exchange.place_order()
    page.wait("document.querySelector('#orders tbody').innerText.startsWith('2') && "
              "document.querySelectorAll('#orders tbody tr').length === 2")  # fmt: skip
    assert page.focused() == "Cancel order 2"


def test_everything_is_reached_with_the_keyboard_and_has_a_name_and_a_visible_focus(page: Page, client: Client) -> None:
    with client.subscribed():
        client.exchange.place_order()
        page.wait("document.querySelector('#orders tbody tr') && document.querySelector('#connections tbody tr')")
        page.look("document.querySelector('details').open = true")
        visible = page.look(f"{FOCUSABLE}.filter(e => e.checkVisibility()).length")
        page.look("document.body.tabIndex = -1, document.body.focus()")
        names: list[str] = []
        for _ in range(visible):
            page.press("Tab")
            names.append(page.focused())
            assert page.look("getComputedStyle(document.activeElement).outlineStyle") == "solid", names[-1]
        reached = page.look(f"{FOCUSABLE}.filter(e => e.checkVisibility()).length")
    assert reached == visible
    assert all(names)
    assert {"Place a limit order", "1 hour later", "Operation", "Do it", "Fill order 1"} <= set(names)
    assert len(set(names)) == len(names), sorted(name for name in names if names.count(name) > 1)


def test_what_comes_from_outside_is_shown_as_text(page: Page, exchange: Sandbox) -> None:
    exchange.emit({"e": "<img src=x onerror=alert(1)>", "x": "<script>alert(1)</script>"})
    page.wait(f"{EVENTS}.some(e => e.includes('<img src=x onerror=alert(1)>'))")
    assert page.look("document.querySelectorAll('img').length") == 0


@pytest.mark.parametrize(("width", "mobile"), [(390, True), (1280, False)])
def test_it_fits_a_phone_and_a_desk_in_light_and_dark(
    page: Page, client: Client, width: int, mobile: bool, exchange: Sandbox
) -> None:
    exchange.place_order()
    page.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=mobile)
    colours = []
    with client.subscribed():
        exchange.fail("server-error")
        page.wait("document.querySelector('#connections tbody tr') && document.querySelector('#faults tbody tr')")
        for scheme in ("light", "dark"):
            page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            assert page.look("document.documentElement.scrollWidth <= innerWidth")
            colours.append(page.look("getComputedStyle(document.body).backgroundColor"))
    page.call("Emulation.clearDeviceMetricsOverride")
    page.call("Emulation.setEmulatedMedia", features=[])
    assert colours == ["rgb(245, 246, 248)", "rgb(20, 23, 28)"]


def test_it_asks_nothing_of_any_other_place(page: Page, exchange: Sandbox) -> None:
    asked = page.look("performance.getEntriesByType('resource').map(e => e.name)")
    assert asked
    assert not [name for name in asked if not name.startswith(f"{exchange.url}/sandbox/")]


def test_it_says_when_the_sandbox_is_gone(page: Page, exchange: Sandbox) -> None:
    exchange.close()
    page.wait("document.querySelector('#facts').innerText.startsWith('The sandbox does not answer')")
    page.complaints.clear()
