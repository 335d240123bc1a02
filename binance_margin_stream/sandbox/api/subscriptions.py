"""Subscriptions of a WebSocket API connection: created and renewed by listen token, ended by expiry or request."""

from __future__ import annotations

from binance_margin_stream.sandbox.api.request_parameters import missing_parameter
from binance_margin_stream.sandbox.api.sessions import Params, authenticate
from binance_margin_stream.sandbox.delivery.publishing import expire_subscription
from binance_margin_stream.sandbox.error_responses import RefusedError
from binance_margin_stream.sandbox.model.connections import AccountSubscription, ServerConnection
from binance_margin_stream.sandbox.model.listen_keys import ListenToken
from binance_margin_stream.sandbox.model.state import ExchangeState
from binance_margin_stream.sandbox.model.users import SPOT

__all__ = ["list_subscriptions", "select_subscriptions", "subscribe", "subscribe_spot", "unsubscribe"]


def subscribe(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    """Subscribe to the account of a listen token, or extend its active subscription.

    Raises:
        RefusedError: -1102, -1209 token, -2035 already active, -2042 no ids left, too many active, refused account.

    """
    token = state.listen_tokens.find(_parse_listen_token(params))
    if token is None:
        raise RefusedError(-1209)
    refusal = state.availability.find_refusal(token.uid, token.account)
    if refusal is not None:
        raise RefusedError(refusal)
    active = _find_active(connection, token.uid, token.account)
    if active is None:
        return _build_result(
            state, connection, _create_subscription(state, connection, token.uid, token.account, token.expires_at)
        )
    return _build_result(state, connection, _resubscribe(state, connection, active, token))


def _find_active(connection: ServerConnection, uid: int, account: str) -> AccountSubscription | None:
    for subscription in connection.subscriptions.values():
        if (subscription.uid, subscription.account) == (uid, account):
            return subscription
    return None


def _resubscribe(
    state: ExchangeState, connection: ServerConnection, active: AccountSubscription, token: ListenToken
) -> AccountSubscription:
    renewal = state.rules.resubscribe_response
    if renewal == "refused":
        raise RefusedError(-2035)
    if renewal in ("new_id", "both_deliver"):
        _check_ids_left(state, connection)
        if renewal == "new_id":
            state.connections.unsubscribe(connection, active)
        return _create_subscription(state, connection, token.uid, token.account, token.expires_at)
    active.expires_at = max(active.expires_at, token.expires_at)
    if renewal == "refused_but_extended":
        raise RefusedError(-2035)
    return active


def subscribe_spot(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    """Subscribe to the user's spot account, with a signature or after a logon.

    The sandbox has no spot trading: only `send_event` sends events of this account.

    Raises:
        RefusedError: as `authenticate`; -2035 already active, -2042 no ids left, too many active.

    """
    uid = authenticate(state, connection, params, now).user.uid
    if _find_active(connection, uid, SPOT) is not None:
        raise RefusedError(-2035)
    ends_at = connection.opened_at + state.rules.connection_lifetime_ms
    return {"subscriptionId": _create_subscription(state, connection, uid, SPOT, ends_at).id}


def _create_subscription(
    state: ExchangeState, connection: ServerConnection, uid: int, account: str, expires_at: int
) -> AccountSubscription:
    _check_ids_left(state, connection)
    if len(connection.subscriptions) >= state.rules.active_subscription_limit:
        raise RefusedError(state.rules.active_subscription_limit_code, "Too many active subscriptions.")
    number = connection.next_subscription_id
    connection.next_subscription_id += 1
    subscription = AccountSubscription(number, uid, account, expires_at)
    state.connections.subscribe(connection, subscription)
    _schedule_expiry(state, connection, subscription)
    return subscription


def _check_ids_left(state: ExchangeState, connection: ServerConnection) -> None:
    if connection.next_subscription_id >= state.rules.total_subscription_limit:
        raise RefusedError(-2042)


def _schedule_expiry(state: ExchangeState, connection: ServerConnection, subscription: AccountSubscription) -> None:
    """Schedule the expiry of a subscription; a renewal reschedules it at the old expiry."""

    def expire_if_due(due: int, _: int) -> None:
        if connection.subscriptions.get(subscription.id) is not subscription:
            return
        if subscription.expires_at > due:
            state.scheduler.call_at(subscription.expires_at, expire_if_due)
        else:
            expire_subscription(state, connection, subscription, due)

    state.scheduler.call_at(subscription.expires_at, expire_if_due)


def _build_result(
    state: ExchangeState, connection: ServerConnection, subscription: AccountSubscription
) -> dict[str, int]:
    scale = 1000 if "us" in (state.rules.expiration_time_unit, connection.time_unit) else 1
    result = {"subscriptionId": subscription.id, "expirationTime": subscription.expires_at * scale}
    if state.rules.subscription_id == "missing":
        del result["subscriptionId"]
    return result


def unsubscribe(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    """The result of an unsubscribe; the subscriptions end after it, each with its notice."""
    return {}


def select_subscriptions(connection: ServerConnection, params: Params) -> list[AccountSubscription]:
    """The subscriptions that an unsubscribe ends: the one with the given id; without an id, all.

    Raises:
        RefusedError: -1102, -2036 not active.

    """
    if "subscriptionId" not in params:
        if not connection.subscriptions:
            raise RefusedError(-2036)
        return list(connection.subscriptions.values())
    number = params["subscriptionId"]
    if not isinstance(number, int) or isinstance(number, bool):
        raise missing_parameter("subscriptionId")
    subscription = connection.subscriptions.get(number)
    if subscription is None:
        raise RefusedError(-2036)
    return [subscription]


def list_subscriptions(state: ExchangeState, connection: ServerConnection, params: Params, now: int) -> object:
    """The ids of the active subscriptions."""
    return [{"subscriptionId": number} for number in connection.subscriptions]


def _parse_listen_token(params: Params) -> str:
    token = params.get("listenToken")
    if not isinstance(token, str) or not token:
        raise missing_parameter("listenToken")
    return token
