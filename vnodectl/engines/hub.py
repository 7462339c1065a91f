"""Telling many watchers what happens, without a task per watcher."""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class Subscription(Generic[T]):
    """One watcher's queue; ends when the hub is closed. A watcher that is dropped is forgotten."""

    def __init__(self, hub: Hub[T]) -> None:
        self._hub = hub
        self._items: deque[T] = deque()
        self._news = asyncio.Event()
        self._ended = False

    def put(self, item: T) -> None:
        self._items.append(item)
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    def __aiter__(self) -> Subscription[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._items.popleft()

    async def aclose(self) -> None:
        self._hub.forget(self)
        self._items.clear()
        self.end()


class Hub(Generic[T]):
    """Everything published after `subscribe` returns reaches that subscription, in order."""

    def __init__(self) -> None:
        self._subscriptions: weakref.WeakSet[Subscription[T]] = weakref.WeakSet()
        self._closed = False

    def subscribe(self) -> Subscription[T]:
        subscription = Subscription(self)
        if self._closed:
            subscription.end()
        self._subscriptions.add(subscription)
        return subscription

    def publish(self, item: T) -> None:
        for subscription in self._subscriptions:
            subscription.put(item)

    def forget(self, subscription: Subscription[T]) -> None:
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        self._closed = True
        for subscription in self._subscriptions:
            subscription.end()
