"""Users of a running sandbox, their API keys and listen keys, and the events that they receive."""

from __future__ import annotations

from collections.abc import Sequence

from binance_margin_stream.sandbox.config import ListenKeyKind
from binance_margin_stream.sandbox.control.operations import operation
from binance_margin_stream.sandbox.delivery.publishing import EventPayload
from binance_margin_stream.sandbox.handle.base import ExchangeHandle
from binance_margin_stream.sandbox.model.users import CROSS, User

__all__ = ["UserHandle"]


class UserHandle(ExchangeHandle):
    """Users, their credentials and events."""

    @property
    def api_key(self) -> str:
        """API key of the first user."""
        return self._user.api_key

    @property
    def api_secret(self) -> str:
        """API secret of the first user, for signed requests."""
        return self._user.api_secret

    @operation
    def send_event(self, event: EventPayload, account: str = CROSS, api_key: str | None = None) -> int:
        """Send an event unchanged to all subscribers of an account; returns the number of frames."""
        uid = self._find_uid(api_key)
        return self._server_thread.call(lambda now: self._exchange.send_event(event, uid, account, now))

    @operation
    def add_user(self) -> User:
        """Add a user; the result has its `api_key` and `api_secret`."""
        return self._server_thread.read(self._exchange.add_user)

    @operation
    def add_key(self, public_key: str, api_key: str | None = None) -> str:
        """Add an API key for a user that signs with an Ed25519 or RSA key pair, and return it.

        `public_key` is the public key of the pair in PEM format; the private key stays with the client.

        Raises:
            ValueError: it is no public key of these kinds.
            ImportError: `cryptography` is missing.

        """
        user = self._user if api_key is None else self._exchange.get_user(api_key)
        return self._server_thread.read(lambda: self._exchange.add_key(user, public_key))

    @operation
    def set_permissions(self, permissions: Sequence[str], api_key: str | None = None) -> None:
        """Set what an API key may do: some of reading, trading and loan_and_transfer.

        A new key may do everything. A call that the key does not allow is refused with -2015.

        Raises:
            KeyError: no such key.
            ValueError: an unknown permission.

        """
        key = self.api_key if api_key is None else api_key
        self._server_thread.read(lambda: self._exchange.set_permissions(key, permissions))

    def find_api_key(self, uid: int) -> str:
        """API key of a user by its number.

        Raises:
            ValueError: no such user; the message lists the numbers.

        """
        users = self.users
        for user in users:
            if user.uid == uid:
                return user.api_key
        raise ValueError(f"uid takes the number of a user: {', '.join(str(user.uid) for user in users)}")

    @operation
    def disable_account(self, account: str, api_key: str | None = None) -> None:
        """Refuse an account's calls, with -11001 (isolated) or -3003 (cross), and stop its events without notice.

        This is what happens when an isolated account is disabled while a stream follows it.
        """
        uid = self._find_uid(api_key)
        self._server_thread.read(lambda: self._exchange.disable_account(uid, account))

    @operation
    def enable_account(self, account: str, api_key: str | None = None) -> None:
        """Undo `disable_account`."""
        uid = self._find_uid(api_key)
        self._server_thread.read(lambda: self._exchange.enable_account(uid, account))

    @operation
    def delist_symbol(self, symbol: str) -> None:
        """Refuse a symbol with -1121, and stop the events of its isolated accounts without notice."""
        self._server_thread.read(lambda: self._exchange.delist_symbol(symbol))

    @operation
    def relist_symbol(self, symbol: str) -> None:
        """Undo `delist_symbol`."""
        self._server_thread.read(lambda: self._exchange.relist_symbol(symbol))

    @operation
    def revoke_api_key(self, api_key: str | None = None) -> None:
        """Revoke all API keys of a user; by default of the first one.

        Raises:
            KeyError: no such key.

        """
        key = self.api_key if api_key is None else api_key
        self._server_thread.call(lambda now: self._exchange.revoke_api_key(key, now))

    @operation
    def delete_listen_key(
        self,
        listen_key: str | None = None,
        *,
        kind: ListenKeyKind | None = None,
        account: str = CROSS,
        api_key: str | None = None,
    ) -> bool:
        """Delete a listen key as another client of the account would; its stream goes silent.

        Without a listen key, those of an account are deleted: of one kind, or all. Returns False if there was none.
        """
        if listen_key is not None:
            return self._server_thread.call(lambda now: self._exchange.delete_named_listen_key(listen_key, now))
        uid = self._find_uid(api_key)
        return self._server_thread.call(lambda now: self._exchange.delete_listen_key(uid, account, kind, now))
