"""A block of payments as arrays, and the genuine payments customers make."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from quickthorn.demo.population import CATEGORY_PRICE, Booleans, Customers, Floats, Ints, Terminals, pick_by_odds

CHANNELS = ("pos", "web", "app")
POS, WEB, APP = range(3)
ENTRIES = ("contactless", "chip", "stripe", "stored", "wallet", "keyed")
CONTACTLESS, CHIP, STRIPE, STORED, WALLET, KEYED = range(6)

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
START_US = 1_735_689_600 * SECOND_US  # 2025-01-01T00:00:00Z, a Wednesday

# Wednesday first, as the stream begins on one.
WEEKDAY_SHARE = np.array([1.0, 1.05, 1.25, 1.30, 0.80, 0.90, 0.95])
SMALLEST_AMOUNT_MINOR = 50
TRIPS_PER_DAY = 1.0 / 75.0
LONGEST_TRIP_DAYS = 9


@dataclass(frozen=True)
class Payments:
    """Payments in any order; every array has shape (n,).

    `at_us` is int64 microseconds UTC and `amount_minor` int64 cents. `customer` and `terminal` are indices into the
    population; `channel` and `entry` into CHANNELS and ENTRIES. `scenario` is 0 for a genuine payment.
    """

    at_us: Ints
    customer: Ints
    terminal: Ints
    amount_minor: Ints
    channel: Ints
    entry: Ints
    device_new: Booleans
    scenario: Ints

    def __len__(self) -> int:
        return len(self.at_us)

    def take(self, rows: Ints | Booleans) -> Payments:
        """The payments of `rows` (indices or a mask)."""
        return Payments(*(getattr(self, field.name)[rows] for field in fields(self)))

    @staticmethod
    def concatenate(blocks: list[Payments]) -> Payments:
        """All payments of `blocks`, one block after the other."""
        return Payments(*(np.concatenate([getattr(b, field.name) for b in blocks]) for field in fields(Payments)))


def genuine_payments(rng: np.random.Generator, customers: Customers, terminals: Terminals, days: int) -> Payments:
    """Draw what customers themselves pay over `days` days from START_US."""
    share_of_day = WEEKDAY_SHARE[np.arange(days) % 7]
    number = rng.poisson(customers.payments_per_day * share_of_day.sum())
    customer = np.repeat(np.arange(len(number)), number)
    day = np.searchsorted(np.cumsum(share_of_day) / share_of_day.sum(), rng.random(len(customer)), side="right")
    day = np.minimum(day, days - 1)
    hour = rng.normal(customers.peak_hour[customer], customers.hour_spread[customer]) % 24.0
    # A few payments come at any hour: subscriptions, petrol at night, an airport.
    any_hour = rng.random(len(customer)) < 0.04
    hour[any_hour] = rng.uniform(0.0, 24.0, int(any_hour.sum()))

    online = rng.random(len(customer)) < customers.online_share[customer]
    whereabouts = _whereabouts(rng, customers, terminals, days)[customer, day]
    terminal = _choose_terminals(rng, customers, terminals, customer, whereabouts, online)
    channel, entry, device_new = _present_card(rng, customers, customer, online)
    amount = customers.usual_amount[customer] * CATEGORY_PRICE[terminals.category[terminal]]
    return Payments(
        at_us=at_us(day, hour),
        customer=customer,
        terminal=terminal,
        amount_minor=to_minor(amount * rng.lognormal(0.0, 0.55, len(customer))),
        channel=channel,
        entry=entry,
        device_new=device_new,
        scenario=np.zeros(len(customer), dtype=np.int64),
    )


def at_us(day: Ints | Floats, hour: Floats) -> Ints:
    """Event time in microseconds UTC of an hour of a day of the stream; both arrays have shape (n,)."""
    return START_US + (np.asarray(day) * DAY_US).astype(np.int64) + (hour * HOUR_US).astype(np.int64)


def to_minor(amount: Floats) -> Ints:
    """Major units to int64 minor units, never below the smallest amount a card is charged with."""
    amount_minor: Ints = np.maximum(np.rint(amount * 100.0), SMALLEST_AMOUNT_MINOR).astype(np.int64)
    return amount_minor


def distance_km(payments: Payments, customers: Customers, terminals: Terminals) -> Floats:
    """Kilometres from the customer's home to the terminal; NaN for online merchants. Shape (n,)."""
    across = customers.x_km[payments.customer] - terminals.x_km[payments.terminal]
    along = customers.y_km[payments.customer] - terminals.y_km[payments.terminal]
    return np.hypot(across, along)


def shops_in_city(rng: np.random.Generator, terminals: Terminals, city: Ints) -> Ints:
    """One shop, drawn by popularity, in each city of `city`; shape (n,). Every city named must have a shop."""
    shops = terminals.shops[np.argsort(terminals.city[terminals.shops], kind="stable")]
    reach = np.concatenate([[0.0], np.cumsum(terminals.popularity[shops])])
    first = np.searchsorted(terminals.city[shops], city, side="left")
    last = np.searchsorted(terminals.city[shops], city, side="right")
    drawn = reach[first] + rng.random(len(city)) * (reach[last] - reach[first])
    position = np.clip(np.searchsorted(reach, drawn, side="right") - 1, first, last - 1)
    chosen: Ints = shops[position]
    return chosen


def _whereabouts(
    rng: np.random.Generator, customers: Customers, terminals: Terminals, days: int
) -> npt.NDArray[np.int16]:
    """The city each customer is in on each day, shape (customers, days): home, except on trips."""
    people = len(customers.city)
    city = np.repeat(customers.city.astype(np.int16)[:, None], days, axis=1)
    trips = int(rng.poisson(people * days * TRIPS_PER_DAY))
    traveller = rng.integers(0, people, trips)
    first_day = rng.integers(0, days, trips)
    trip_days = rng.integers(2, LONGEST_TRIP_DAYS + 1, trips)
    reachable = np.unique(terminals.city[terminals.shops])
    destination = reachable[rng.integers(0, len(reachable), trips)]
    for offset in range(LONGEST_TRIP_DAYS):
        away = (trip_days > offset) & (first_day + offset < days)
        city[traveller[away], first_day[away] + offset] = destination[away]
    return city


def _choose_terminals(
    rng: np.random.Generator,
    customers: Customers,
    terminals: Terminals,
    customer: Ints,
    whereabouts: npt.NDArray[np.int16],
    online: Booleans,
) -> Ints:
    terminal = np.empty(len(customer), dtype=np.int64)
    buyer = customer[online]
    terminal[online] = customers.merchants[buyer, pick_by_odds(rng, customers.merchant_odds[buyer])]
    # In the home town most payments go to the favourites; on a trip, and now and then at home, to any shop in the city.
    at_home = whereabouts == customers.city[customer]
    habitual = ~online & at_home & (rng.random(len(customer)) < 0.9)
    buyer = customer[habitual]
    terminal[habitual] = customers.shops[buyer, pick_by_odds(rng, customers.shop_odds[buyer])]
    elsewhere = ~online & ~habitual
    terminal[elsewhere] = shops_in_city(rng, terminals, whereabouts[elsewhere].astype(np.int64))
    return terminal


def _present_card(
    rng: np.random.Generator, customers: Customers, customer: Ints, online: Booleans
) -> tuple[Ints, Ints, Booleans]:
    n = len(customer)
    channel = np.where(rng.random(n) < customers.app_share[customer], APP, WEB)
    channel[~online] = POS
    at_shop = np.searchsorted([0.56, 0.95], rng.random(n), side="right") + CONTACTLESS
    at_merchant = np.searchsorted([0.60, 0.82], rng.random(n), side="right") + STORED
    device_new = rng.random(n) < np.where(online, 0.03, 0.002)
    return channel, np.where(online, at_merchant, at_shop), device_new
